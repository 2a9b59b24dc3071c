"""The tensors of a checkpoint: their names, shapes, and how their random stand-ins are distributed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_gpt_dist.model.config import DecoderConfig

# Without these a name is that of the bare model, as in the checkpoints of GPT2Model.
PREFIXES = ("transformer.", "model.")

# Random weights must make the greedy tokens vary, or they prove nothing. What each layer adds must depend on the
# tokens rather than be the same for all: sharp attention, a curved MLP, positions that count, small biases. None of
# these may be so small that it could be left out, or added by every rank, unseen. But the sharper all is, the more
# rounding is magnified. Measured: of 24 greedy tokens at least 45% are distinct (GPT-2, 40 wide), 60 to 100% in most
# shapes; logits are off by 1e-5 in float32 and by 0.02 to 0.2 in bfloat16 after up to 30 layers.
_WEIGHT_SPREAD = 0.1  # of norm weights, about 1
_BIAS_SPREAD = 0.05
_TOKEN_GAIN = 2.0  # of embedding and head, also the spread of the logits
_POSITION_GAIN = 4.0
_INPUT_GAIN = 2.0  # GPT-2's attention and MLP; 1 keeps the size of what comes in
_ATTENTION_GAIN = 1.5
_GATE_GAIN = 1.6
_OUTPUT_GAIN = 1.0


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as the checkpoint has it.

    Attributes:
        name: its full name, prefix included.
        shape: its shape in the checkpoint.
        mean: of its random stand-in.
        std: of its random stand-in.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float


def embedding_name(config: DecoderConfig) -> str:
    """Return the name of the token embedding."""
    return "transformer.wte.weight" if config.architecture == "gpt2" else "model.embed_tokens.weight"


HEAD_NAME = "lm_head.weight"


def checkpoint_tensors(config: DecoderConfig) -> Mapping[str, TensorSpec]:
    """Return the tensors of a model by name; a tied head is not one of them."""
    tensors = _gpt2(config) if config.architecture == "gpt2" else _llama(config)
    return {tensor.name: tensor for tensor in tensors}


def _scale(name: str, width: int) -> TensorSpec:
    return TensorSpec(name, (width,), 1.0, _WEIGHT_SPREAD)


def _bias(name: str, width: int) -> TensorSpec:
    return TensorSpec(name, (width,), 0.0, _BIAS_SPREAD)


def _matrix(name: str, shape: tuple[int, int], inputs: int, gain: float) -> TensorSpec:
    return TensorSpec(name, shape, 0.0, gain / math.sqrt(inputs))


def _gpt2(config: DecoderConfig) -> Iterator[TensorSpec]:
    size = config.dimensions
    yield _matrix("transformer.wte.weight", (size.vocabulary, size.hidden), size.hidden, _TOKEN_GAIN)
    yield _matrix("transformer.wpe.weight", (size.positions, size.hidden), size.hidden, _POSITION_GAIN)
    for layer in range(size.layers):
        prefix = f"transformer.h.{layer}."
        for norm in ("ln_1", "ln_2"):
            yield _scale(f"{prefix}{norm}.weight", size.hidden)
            yield _bias(f"{prefix}{norm}.bias", size.hidden)
        for linear, inputs, outputs, gain in (
            ("attn.c_attn", size.hidden, 3 * size.hidden, _INPUT_GAIN),
            ("attn.c_proj", size.hidden, size.hidden, _OUTPUT_GAIN),
            ("mlp.c_fc", size.hidden, size.mlp, _INPUT_GAIN),
            ("mlp.c_proj", size.mlp, size.hidden, _OUTPUT_GAIN),
        ):
            # GPT-2's Conv1D keeps its weight as [inputs, outputs].
            yield _matrix(f"{prefix}{linear}.weight", (inputs, outputs), inputs, gain)
            yield _bias(f"{prefix}{linear}.bias", outputs)
    yield _scale("transformer.ln_f.weight", size.hidden)
    yield _bias("transformer.ln_f.bias", size.hidden)
    if not size.tied:
        yield _matrix(HEAD_NAME, (size.vocabulary, size.hidden), size.hidden, _TOKEN_GAIN)


def _llama(config: DecoderConfig) -> Iterator[TensorSpec]:
    size = config.dimensions
    query, key_value = size.heads * size.head_dim, size.kv_heads * size.head_dim
    yield _matrix("model.embed_tokens.weight", (size.vocabulary, size.hidden), size.hidden, _TOKEN_GAIN)
    for layer in range(size.layers):
        prefix = f"model.layers.{layer}."
        yield _scale(f"{prefix}input_layernorm.weight", size.hidden)
        yield _scale(f"{prefix}post_attention_layernorm.weight", size.hidden)
        if size.qk_norm:
            yield _scale(f"{prefix}self_attn.q_norm.weight", size.head_dim)
            yield _scale(f"{prefix}self_attn.k_norm.weight", size.head_dim)
        for linear, outputs, inputs, gain, bias in (
            ("self_attn.q_proj", query, size.hidden, _ATTENTION_GAIN, size.attention_bias),
            ("self_attn.k_proj", key_value, size.hidden, _ATTENTION_GAIN, size.attention_bias),
            ("self_attn.v_proj", key_value, size.hidden, _ATTENTION_GAIN, size.attention_bias),
            ("self_attn.o_proj", size.hidden, query, _OUTPUT_GAIN, size.attention_bias),
            ("mlp.gate_proj", size.mlp, size.hidden, _GATE_GAIN, size.mlp_bias),
            ("mlp.up_proj", size.mlp, size.hidden, _GATE_GAIN, size.mlp_bias),
            ("mlp.down_proj", size.hidden, size.mlp, _OUTPUT_GAIN, size.mlp_bias),
        ):
            yield _matrix(f"{prefix}{linear}.weight", (outputs, inputs), inputs, gain)
            if bias:
                yield _bias(f"{prefix}{linear}.bias", outputs)
    yield _scale("model.norm.weight", size.hidden)
    if not size.tied:
        yield _matrix(HEAD_NAME, (size.vocabulary, size.hidden), size.hidden, _TOKEN_GAIN)
