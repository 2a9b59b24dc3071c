"""The shape of a decoder, read from the ``config.json`` of a Hugging Face checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_gpt_dist.bounds import MOST
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.parallel import Dimensions

Architecture = Literal["gpt2", "llama", "qwen3"]
Activation = Literal["gelu_tanh", "gelu", "silu"]


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """How Llama 3.1 stretches its rotary frequencies; names as in transformers' ``rope_type: llama3``."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotary position embedding over the whole head."""

    theta: float
    scaling: Llama3Scaling | None = None


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """All that the native decoder needs to know of a model.

    Attributes:
        architecture: whose tensor names the checkpoint has.
        dimensions: its sizes.
        activation: of the MLP.
        epsilon: of the norms (LayerNorm if ``dimensions.norm_bias``, else RMSNorm).
        rotary: the rotary embedding, or None where positions are learned.
    """

    architecture: Architecture
    dimensions: Dimensions
    activation: Activation
    epsilon: float
    rotary: Rotary | None

    @classmethod
    def from_hf(cls, values: Mapping[str, Any], where: str) -> "DecoderConfig":
        """Read a Hugging Face configuration.

        Args:
            values: the content of ``config.json``.
            where: the file, for messages.

        Raises:
            UsageError: when the architecture, or an option that would change the results, is not supported.
        """
        kind = values.get("model_type")
        if not isinstance(kind, str) or kind not in _READERS:
            raise UsageError(
                f"{where}: model_type {quoted(kind)} is not supported; these are: {', '.join(sorted(_READERS))}"
            )
        reader = _Reader(values, where, ALIASES.get(kind, {}))
        reader.refuse_if("quantization_config", None)
        return _READERS[kind](reader)

    def to_hf(self) -> dict[str, Any]:
        """Return the Hugging Face configuration that reads back as this one."""
        size = self.dimensions
        if self.rotary is None:
            return {
                "model_type": "gpt2",
                "architectures": ["GPT2LMHeadModel"],
                "n_embd": size.hidden,
                "n_layer": size.layers,
                "n_head": size.heads,
                "n_inner": size.mlp,
                "n_positions": size.positions,
                "vocab_size": size.vocabulary,
                "layer_norm_epsilon": self.epsilon,
                "activation_function": {"gelu_tanh": "gelu_new", "gelu": "gelu", "silu": "silu"}[
                    self.activation
                ],
                "tie_word_embeddings": size.tied,
                "bos_token_id": min(50256, size.vocabulary - 1),
                "eos_token_id": min(50256, size.vocabulary - 1),
            }
        rope: dict[str, Any] = {"rope_type": "default", "rope_theta": self.rotary.theta}
        if self.rotary.scaling is not None:
            rope |= {
                "rope_type": "llama3",
                "factor": self.rotary.scaling.factor,
                "low_freq_factor": self.rotary.scaling.low_freq_factor,
                "high_freq_factor": self.rotary.scaling.high_freq_factor,
                "original_max_position_embeddings": self.rotary.scaling.original_positions,
            }
        values: dict[str, Any] = {
            "model_type": self.architecture,
            "architectures": ["LlamaForCausalLM" if self.architecture == "llama" else "Qwen3ForCausalLM"],
            "hidden_size": size.hidden,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.kv_heads,
            "head_dim": size.head_dim,
            "intermediate_size": size.mlp,
            "max_position_embeddings": size.positions,
            "vocab_size": size.vocabulary,
            "rms_norm_eps": self.epsilon,
            "hidden_act": self.activation,
            "attention_bias": size.attention_bias,
            "tie_word_embeddings": size.tied,
            "rope_parameters": rope,
        }
        if self.architecture == "llama":
            values["mlp_bias"] = size.mlp_bias
        return values


ALIASES: Mapping[str, Mapping[str, str]] = {
    "gpt2": {
        "n_embd": "hidden_size",
        "n_positions": "max_position_embeddings",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
    }
}
"""By architecture, the other name that transformers has for a value: its ``attribute_map``, turned round."""
_LARGEST = 1e30


class _Reader:
    """Looks values up and says where they were missing or wrong.

    A null stands for a value that is left out only where transformers takes it for that.
    """

    def __init__(self, values: Mapping[str, Any], where: str, aliases: Mapping[str, str]) -> None:
        self.values = values
        self.where = where
        self._aliases = aliases

    def count(
        self,
        key: str,
        size: str,
        default: int | None = None,
        *,
        of: Mapping[str, Any] | None = None,
        null: int | None = None,
    ) -> int:
        """Return a whole number of at least 1 and at most what there can be of that ``size``."""
        key, value = self._given(key, default, self.values if of is None else of)
        if value is None and null is not None:
            value = null
        if type(value) is not int or not 1 <= value <= MOST[size]:
            raise UsageError(
                f"{self.where}: {key} is {quoted(value)}, must be a whole number from 1 to {MOST[size]:,}"
            )
        return value

    def number(self, key: str, default: float | None = None, *, of: Mapping[str, Any] | None = None) -> float:
        """Return a number above 0."""
        key, value = self._given(key, default, self.values if of is None else of)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < _LARGEST:
            raise UsageError(f"{self.where}: {key} is {quoted(value)}, must be a number above 0")
        return float(value)

    def _given(self, key: str, default: object, values: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the name that a value has here, and the value. Under both of its names it must be the same."""
        other = self._aliases.get(key)
        if other is not None and other in values:
            if key in values and values[key] != values[other]:
                raise UsageError(
                    f"{self.where}: {key} is {quoted(values[key])} and {other}, another name for it,"
                    f" {quoted(values[other])}; leave out one of the two"
                )
            return other, values[other]
        if key not in values and default is None:
            raise UsageError(f"{self.where}: has no {key}")
        return key, values.get(key, default)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise UsageError(f"{self.where}: {key} is {quoted(value)}, must be true or false")
        return value

    def refuse_if(self, key: str, *supported: Any, default: Any = None) -> None:
        value = self.values.get(key, default)
        if value not in supported:
            raise UsageError(f"{self.where}: {key} {quoted(value)} is not supported")

    def activation(self, key: str, default: str, names: Mapping[str, Activation]) -> Activation:
        name = self.values.get(key, default)
        if not isinstance(name, str) or name not in names:
            raise UsageError(
                f"{self.where}: {key} {quoted(name)} is not supported; these are: {', '.join(names)}"
            )
        return names[name]

    def rotary(self, head_dim: int, positions: int) -> Rotary:
        """How positions turn the heads. As in transformers, ``rope_scaling`` replaces ``rope_parameters``."""
        for key in ("rope_scaling", "rope_parameters"):
            value = self.values.get(key)
            if value is not None and not isinstance(value, Mapping):
                raise UsageError(f"{self.where}: {key} is {quoted(value)}, must be a table")
        rope: Mapping[str, Any] = self.values.get("rope_scaling") or self.values.get("rope_parameters") or {}
        if any(isinstance(value, Mapping) for value in rope.values()):
            raise UsageError(f"{self.where}: rotary positions that differ by layer type are not supported")
        kind = rope.get("rope_type", rope.get("type", "default"))
        # Before transformers 5 these two stood beside the table, and they still serve where it has none.
        theta = self.number("rope_theta", 10000.0, of=rope if "rope_theta" in rope else self.values)
        partial = rope.get("partial_rotary_factor", self.values.get("partial_rotary_factor"))
        if partial not in (None, 1):
            raise UsageError(f"{self.where}: partial_rotary_factor {quoted(partial)} is not supported")
        if head_dim % 2:
            raise UsageError(f"{self.where}: head_dim is {head_dim}, must be even for rotary positions")
        if kind == "default":
            return Rotary(theta)
        if kind != "llama3":
            raise UsageError(
                f"{self.where}: rope_type {quoted(kind)} is not supported; these are: default, llama3"
            )
        scaling = Llama3Scaling(
            factor=self.number("factor", of=rope),
            low_freq_factor=self.number("low_freq_factor", of=rope),
            high_freq_factor=self.number("high_freq_factor", of=rope),
            original_positions=self.count(
                "original_max_position_embeddings", "positions", positions, of=rope
            ),
        )
        if scaling.low_freq_factor >= scaling.high_freq_factor:
            raise UsageError(
                f"{self.where}: low_freq_factor is {scaling.low_freq_factor}, must be below high_freq_factor,"
                f" {scaling.high_freq_factor}"
            )
        return Rotary(theta, scaling)


def _gpt2(reader: _Reader) -> DecoderConfig:
    reader.refuse_if("scale_attn_weights", True, default=True)
    reader.refuse_if("scale_attn_by_inverse_layer_idx", False, default=False)
    reader.refuse_if("add_cross_attention", False, default=False)
    hidden, heads = reader.count("n_embd", "hidden", 768), reader.count("n_head", "heads", 12)
    if hidden % heads:
        raise UsageError(f"{reader.where}: n_embd {hidden} is not a multiple of n_head {heads}")
    dimensions = Dimensions(
        layers=reader.count("n_layer", "layers", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        hidden=hidden,
        mlp=reader.count("n_inner", "mlp", 4 * hidden, null=4 * hidden),
        vocabulary=reader.count("vocab_size", "vocabulary", 50257),
        positions=reader.count("n_positions", "positions", 1024),
        learned_positions=True,
        tied=reader.flag("tie_word_embeddings", default=True),
        gated=False,
        attention_bias=True,
        mlp_bias=True,
        norm_bias=True,
    )
    activation = reader.activation(
        "activation_function",
        "gelu_new",
        {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "silu": "silu"},
    )
    return DecoderConfig(
        "gpt2", dimensions, activation, reader.number("layer_norm_epsilon", 1e-5), rotary=None
    )


def _llama(reader: _Reader) -> DecoderConfig:
    return _rotary_decoder("llama", reader, qk_norm=False, mlp_bias=reader.flag("mlp_bias", default=False))


def _qwen3(reader: _Reader) -> DecoderConfig:
    reader.refuse_if("use_sliding_window", False, default=False)
    kinds = reader.values.get("layer_types") or ()
    if not isinstance(kinds, Sequence):
        raise UsageError(f"{reader.where}: layer_types is {quoted(kinds)}, must be a list")
    if any(kind != "full_attention" for kind in kinds):
        raise UsageError(f"{reader.where}: layer_types other than full_attention are not supported")
    return _rotary_decoder("qwen3", reader, qk_norm=True, mlp_bias=False, head_dim=128, kv_heads=32)


def _rotary_decoder(
    architecture: Architecture,
    reader: _Reader,
    *,
    qk_norm: bool,
    mlp_bias: bool,
    head_dim: int | None = None,
    kv_heads: int | None = None,
) -> DecoderConfig:
    """Read what Llama and Qwen3 share; what they do not are the defaults of ``head_dim`` and ``kv_heads``."""
    hidden, heads = reader.count("hidden_size", "hidden"), reader.count("num_attention_heads", "heads")
    if head_dim is None:
        if reader.values.get("head_dim") is None and hidden % heads:
            raise UsageError(
                f"{reader.where}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}"
            )
        head_dim = reader.count("head_dim", "head_dim", hidden // heads, null=hidden // heads)
    else:
        head_dim = reader.count("head_dim", "head_dim", head_dim)
    kv_heads = reader.count("num_key_value_heads", "kv_heads", kv_heads or heads, null=heads)
    if heads % kv_heads:
        raise UsageError(
            f"{reader.where}: num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
        )
    positions = reader.count("max_position_embeddings", "positions")
    dimensions = Dimensions(
        layers=reader.count("num_hidden_layers", "layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        hidden=hidden,
        mlp=reader.count("intermediate_size", "mlp"),
        vocabulary=reader.count("vocab_size", "vocabulary"),
        positions=positions,
        tied=reader.flag("tie_word_embeddings", default=False),
        gated=True,
        attention_bias=reader.flag("attention_bias", default=False),
        mlp_bias=mlp_bias,
        qk_norm=qk_norm,
    )
    return DecoderConfig(
        architecture,
        dimensions,
        reader.activation("hidden_act", "silu", {"silu": "silu"}),
        reader.number("rms_norm_eps", 1e-6),
        reader.rotary(head_dim, positions),
    )


_READERS: Mapping[str, Callable[[_Reader], DecoderConfig]] = {"gpt2": _gpt2, "llama": _llama, "qwen3": _qwen3}
