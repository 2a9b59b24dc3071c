"""One decoder for GPT-2, Llama and Qwen3: the share of it that one rank holds.

``forward`` of a stage takes hidden states to hidden states; ``embed`` stands before the first stage,
``logits`` behind the last. Tensor-parallel ranks hold a run of heads, of MLP columns and of the vocabulary
each, and sum their parts twice a layer and once for the embedding. A run may be of any length, even none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it

from pytest_gpt_dist.model.attention import attend
from pytest_gpt_dist.model.cache import KVCache, LayerCache, Window
from pytest_gpt_dist.model.config import Activation, DecoderConfig
from pytest_gpt_dist.model.packing import linear, pack
from pytest_gpt_dist.model.rotary import rotary_table, rotate
from pytest_gpt_dist.model.sharding import Slices

if TYPE_CHECKING:
    import torch


_MOST_SHAPES = 256
_LINEAR = ("qkv.weight", "output.weight", "up.weight", "down.weight", "head")


class TensorGroup(Protocol):
    """The ranks that share one stage; a group of one communicates nothing."""

    def all_reduce(self, x: "torch.Tensor") -> None:
        """Replace ``x`` by its sum over the group, in place."""
        ...

    def all_gather(self, x: "torch.Tensor") -> "torch.Tensor":
        """Return ``x`` of every rank, stacked in rank order: ``[ranks, *x.shape]``; shapes must be equal."""
        ...


class Norm:
    """LayerNorm where there is a bias, else RMSNorm; in float32 at least."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, epsilon: float) -> None:
        self.weight, self.bias, self.epsilon = weight, bias, epsilon

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension."""
        if self.bias is not None:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)
        if x.dtype.itemsize > 2:
            return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        # In 16 bits the published models round the normalised value before they multiply by the weight.
        wide = F.rms_norm(x.float(), self.weight.shape, eps=self.epsilon)
        return wide.to(x.dtype).mul_(self.weight)


class Linear:
    """A linear layer whose inputs or outputs may be a slice of the whole one's."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, group: TensorGroup | None = None
    ) -> None:
        self.weight, self.bias, self.group = weight, bias, group

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it; with a group, ``x`` is a slice of the inputs and the ranks' results are summed."""
        if self.group is None:
            return linear(x, self.weight, self.bias)
        y = linear(x, self.weight)
        self.group.all_reduce(y)
        return y if self.bias is None else y.add_(self.bias)


class Attention:
    """Grouped-query attention over a run of query heads and the key/value heads that they need."""

    def __init__(
        self,
        config: DecoderConfig,
        own: Slices,
        parameters: Mapping[str, torch.Tensor],
        prefix: str,
        group: TensorGroup | None,
    ) -> None:
        size = config.dimensions
        self.heads, self.kv_heads, self.head_dim = len(own.heads), len(own.kv_heads), size.head_dim
        self.qkv = Linear(parameters[f"{prefix}.qkv.weight"], parameters.get(f"{prefix}.qkv.bias"))
        self.output = Linear(
            parameters[f"{prefix}.output.weight"], parameters.get(f"{prefix}.output.bias"), group
        )
        self.q_norm = self.k_norm = None
        if size.qk_norm:
            self.q_norm = Norm(parameters[f"{prefix}.q_norm.weight"], None, config.epsilon)
            self.k_norm = Norm(parameters[f"{prefix}.k_norm.weight"], None, config.epsilon)
        # A run of heads may begin or end within a group; padding completes the groups at both ends. A single
        # group needs none, however few of its heads are here.
        group_size = size.heads // size.kv_heads
        whole = own.kv_heads.scaled(group_size)
        single = self.kv_heads == 1
        self.before = 0 if single else own.heads.start - whole.start
        self.behind = 0 if single else whole.stop - own.heads.stop
        self.group_size = self.heads if single else group_size

    def __call__(
        self,
        x: torch.Tensor,
        window: Window,
        cache: LayerCache,
        rotary: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """Attend from ``x`` ``[rows, tokens, hidden]`` to itself and to what the cache holds of the rows."""
        rows, tokens, _ = x.shape
        if not self.heads:
            return self.output(x.new_zeros(rows, tokens, 0))
        qkv = self.qkv(x).view(rows, tokens, self.heads + 2 * self.kv_heads, self.head_dim)
        qk, v = qkv.tensor_split([self.heads + self.kv_heads], dim=2)
        if self.q_norm is not None and self.k_norm is not None:
            qk = torch.cat((self.q_norm(qk[:, :, : self.heads]), self.k_norm(qk[:, :, self.heads :])), dim=2)
        if rotary is not None:
            qk = rotate(qk, *rotary)
        q, k = qk.tensor_split([self.heads], dim=2)
        if self.before or self.behind:
            q = F.pad(q, (0, 0, self.before, self.behind))
        context = self._prefill(q, k, v, cache) if window.prefill else self._decode(q, k, v, cache, window)
        if self.before or self.behind:
            context = context.narrow(2, self.before, self.heads)
        return self.output(context.reshape(rows, tokens, self.heads * self.head_dim))

    def _prefill(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cache: LayerCache) -> torch.Tensor:
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        cache.fill(k, v)
        context = F.scaled_dot_product_attention(
            q.transpose(1, 2), k, v, is_causal=True, enable_gqa=self.group_size > 1
        )
        return context.transpose(1, 2)

    def _decode(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cache: LayerCache, window: Window
    ) -> torch.Tensor:
        # The heads of a group stand in for the queries of a sequence, so that no key or value is repeated.
        shape = (q.shape[0], self.kv_heads, self.group_size, self.head_dim)
        keys, values = cache.append(k[:, 0], v[:, 0], window)
        context = attend(q.reshape(shape), keys, values, window.mask)
        return context.reshape(shape[0], 1, self.kv_heads * self.group_size, self.head_dim)


class MLP:
    """The MLP's columns of this rank, gated (SwiGLU) or plain."""

    def __init__(
        self,
        config: DecoderConfig,
        parameters: Mapping[str, torch.Tensor],
        prefix: str,
        group: TensorGroup | None,
    ) -> None:
        self.gated = config.dimensions.gated
        self.activation = config.activation
        self.up = Linear(parameters[f"{prefix}.up.weight"], parameters.get(f"{prefix}.up.bias"))
        self.down = Linear(parameters[f"{prefix}.down.weight"], parameters.get(f"{prefix}.down.bias"), group)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to ``x`` ``[rows, tokens, hidden]``."""
        inner = self.up(x)
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            return self.down(_activate(gate, self.activation).mul_(inner))
        return self.down(_activate(inner, self.activation))


def _activate(x: torch.Tensor, activation: Activation) -> torch.Tensor:
    if activation == "silu":
        return F.silu(x)
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")


class Layer:
    """One transformer layer: attention and MLP, each behind a norm and added to the residual stream."""

    def __init__(
        self,
        config: DecoderConfig,
        own: Slices,
        parameters: Mapping[str, torch.Tensor],
        prefix: str,
        group: TensorGroup | None,
    ) -> None:
        self.attention_norm = _norm(config, parameters, f"{prefix}.attention_norm")
        self.attention = Attention(config, own, parameters, prefix, group)
        self.mlp_norm = _norm(config, parameters, f"{prefix}.mlp_norm")
        self.mlp = MLP(config, parameters, prefix, group)

    def __call__(
        self,
        x: torch.Tensor,
        window: Window,
        cache: LayerCache,
        rotary: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """Update ``x`` ``[rows, tokens, hidden]`` in place."""
        x += self.attention(self.attention_norm(x), window, cache, rotary)
        x += self.mlp(self.mlp_norm(x))
        return x


RunLayer = Callable[
    [Layer, torch.Tensor, Window, LayerCache, tuple[torch.Tensor, torch.Tensor] | None], torch.Tensor
]


def run_layer(
    layer: Layer,
    x: torch.Tensor,
    window: Window,
    cache: LayerCache,
    rotary: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Run a layer over ``x`` ``[rows, tokens, hidden]``, in place."""
    return layer(x, window, cache, rotary)


def compile_layers() -> RunLayer:
    """Return ``run_layer`` compiled: once for all layers, which differ in the contents of their tensors alone.

    Each number of rows and columns is compiled anew; one too many would run as it is, so that is an error.
    """
    from torch._inductor import config as inductor  # noqa: PLC0415  every rank imports this file, few compile

    torch._dynamo.config.recompile_limit = _MOST_SHAPES
    inductor.compile_threads = 1  # no pool of processes beside the ranks
    return torch.compile(run_layer, dynamic=False, fullgraph=True)


class Stage:
    """What one rank holds of the decoder.

    Args:
        config: the model.
        own: which slices of it these are.
        parameters: by the names of the sharding plan, linear weights as ``[outputs, inputs]``; the stage packs
            them, one after the other and in place of what was there.
        group: the ranks that share the stage, or None where it is not shared.
    """

    def __init__(
        self,
        config: DecoderConfig,
        own: Slices,
        parameters: dict[str, torch.Tensor],
        group: TensorGroup | None,
    ) -> None:
        self.config, self.own, self.parameters, self.group = config, own, parameters, group
        for name in [name for name in parameters if name.endswith(_LINEAR)]:
            parameters[name] = pack(parameters[name])
        self.layers = [Layer(config, own, parameters, f"layers.{layer}", group) for layer in own.layers.range]
        self.embedding = parameters.get("embedding")
        self.positions = parameters.get("positions")
        self.head = parameters.get("head")
        if self.head is None and self.embedding is not None and own.last:
            # A tied head. Tokens are looked up in the dense table, so that a packed one stands beside it.
            self.head = pack(self.embedding)
        self.final_norm = _norm(config, parameters, "final_norm") if own.last else None
        self.rotary: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def copies_head(self) -> bool:
        """Whether a tied head is here a second time, packed."""
        return self.head is not None and "head" not in self.parameters and self.head is not self.embedding

    def allocate_cache(self, rows: int, columns: int) -> KVCache:
        """Return an empty cache for a microbatch, and prepare positions up to ``columns``."""
        size = self.config.dimensions
        sample = next(iter(self.parameters.values()))
        if self.config.rotary is not None and (self.rotary is None or len(self.rotary[0]) < columns):
            self.rotary = rotary_table(
                self.config.rotary, size.head_dim, columns, sample.dtype, sample.device
            )
        shape = (rows, len(self.own.kv_heads), columns, size.head_dim)
        return KVCache(len(self.layers), shape, sample.dtype, sample.device)

    def embed(self, tokens: torch.Tensor, window: Window) -> torch.Tensor:
        """Turn tokens ``[rows, tokens]`` into hidden states ``[rows, tokens, hidden]``; first stage only."""
        assert self.embedding is not None
        if self.group is None:
            x = F.embedding(tokens, self.embedding)
        else:
            own = self.own.vocabulary
            local = (tokens - own.start).clamp_(0, max(0, len(own) - 1))
            elsewhere = (tokens < own.start) | (tokens >= own.stop)
            x = F.embedding(local, self.embedding).masked_fill_(elsewhere.unsqueeze(-1), 0)
            self.group.all_reduce(x)
        return x if self.positions is None else x.add_(window.take(self.positions))

    def forward(
        self, x: torch.Tensor, window: Window, caches: Sequence[LayerCache], run: RunLayer = run_layer
    ) -> torch.Tensor:
        """Run the stage's layers over ``x`` ``[rows, tokens, hidden]``, in place, each by ``run`` with its cache."""
        rotary = None
        if self.rotary is not None:
            cosine, sine = (window.take(table).unsqueeze(2) for table in self.rotary)
            rotary = cosine, sine
        for layer, kept in zip(self.layers, caches, strict=True):
            x = run(layer, x, window, kept, rotary)
        return x

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Turn ``[rows, hidden]`` into this rank's logits, ``[rows, own vocabulary]``; last stage only."""
        assert self.final_norm is not None
        assert self.head is not None
        x = self.final_norm(x)
        return linear(x, self.head)


def _norm(config: DecoderConfig, parameters: Mapping[str, torch.Tensor], name: str) -> Norm:
    return Norm(parameters[f"{name}.weight"], parameters.get(f"{name}.bias"), config.epsilon)
