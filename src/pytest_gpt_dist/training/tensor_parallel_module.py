"""On a rank: transformers' own module cut to what one tensor-parallel rank of one pipeline stage holds.

``shard_model(model, dtype, place, stage, group)`` returns it without memory, ``materialize_shares`` fills it. It
is called like the whole one: what is not on the stage passes hidden states through, so that the stage before the
last one returns hidden states where the last one returns this rank's logits. ``shares`` says of each parameter what
part of which tensor it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from transformers import PreTrainedModel

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.loading import fill
from pytest_gpt_dist.model.sharding import Piece
from pytest_gpt_dist.model.weights import Weights
from pytest_gpt_dist.parallel import Span
from pytest_gpt_dist.training.model import build_on_meta
from pytest_gpt_dist.training.tensor_parallel import (
    Group,
    RowParallel,
    VocabularyEmbedding,
    copy_to_group,
)
from pytest_gpt_dist.training.tensor_parallel_shares import ParameterShare, Place, share_of, tensor_slices
from pytest_gpt_dist.training.trained_model import TrainedModel

_ROW_PARALLEL = ("c_proj", "o_proj", "down_proj")
_BEFORE_CUT = ("ln_1", "ln_2", "ln_f", "input_layernorm", "post_attention_layernorm")


@dataclass(frozen=True, slots=True)
class StagePart:
    """What of a model a pipeline stage holds: a run of its layers, the embedding if first, the head if last."""

    layers: Span
    first: bool
    last: bool


@dataclass(frozen=True)
class ShardedModule:
    """A module of the rank's parameters, and what part of which tensor each of them is, by its name in the module."""

    module: PreTrainedModel
    shares: Mapping[str, ParameterShare]

    def named_shares(self) -> Iterator[tuple[nn.Parameter, ParameterShare]]:
        """Yield each parameter once with its share."""
        for name, parameter in self.module.named_parameters():
            yield parameter, self.shares[name]


class PassThrough(nn.Module):
    """Stands where another stage has a layer."""

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        """Return what comes in."""
        return x


class NoPositions(nn.Module):
    """Stands where another stage has the table of positions, and adds nothing."""

    def forward(self, positions: Tensor) -> Tensor:
        """Return a zero that changes no number format."""
        return torch.zeros((), device=positions.device)


def shard_model(
    model: TrainedModel, dtype: str, place: Place, stage: StagePart, group: Group
) -> ShardedModule:
    """Return transformers' module of what a rank holds, its parameters without memory.

    Args:
        model: which model.
        dtype: number format of the parameters.
        place: which tensor-parallel rank of how many this is.
        stage: what of the model the pipeline stage holds.
        group: the tensor-parallel ranks, or None for one alone.
    """
    module = build_on_meta(model, dtype)
    _leave_out(module, stage)
    shares = {
        name: share_of(model.config, place, name)
        for name, _ in module.named_parameters(remove_duplicate=False)
    }
    _shrink(module, shares)
    if group is not None:
        _cut_layers(module, model.config, place, group)
    return ShardedModule(module, shares)


def materialize_shares(
    sharded: ShardedModule,
    weights: Weights,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Give parameters memory, and fill each with its part of its tensor; nothing else is read or made."""
    module = sharded.module
    parameters = dict(module.named_parameters(remove_duplicate=False))
    made: dict[int, nn.Parameter] = {}
    for name, parameter in parameters.items():
        if id(parameter) not in made:
            made[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device=device))
            with torch.no_grad():
                fill_share(made[id(parameter)], sharded.shares[name], weights)
        _put(module, name, made[id(parameter)])
        if report is not None:
            report(len(made), len(parameters))
    rotary: Any = getattr(module.base_model, "rotary_emb", None)
    if rotary is not None:  # a function of the configuration
        cast(Any, module.base_model).rotary_emb = type(rotary)(cast(Any, module).config).to(device)


def fill_share(target: Tensor, share: ParameterShare, weights: Weights) -> None:
    """Write a part of a tensor into what holds it."""
    for spans, places in zip(_products(share.spans), _products(_places(share.spans)), strict=True):
        columns = spans[1] if len(spans) == 2 else None
        fill(target[tuple(place.slice for place in places)], Piece(share.name, spans[0], columns), weights)


def put_together(parts: Tensor, share: ParameterShare, group: Group) -> Tensor:
    """Return the whole of a tensor of which each rank of a group holds a part, on each with the values it holds."""
    if not share.is_cut or group is None:
        return parts
    whole = parts.new_zeros(share.shape)
    counted = parts.clone()
    counted[: share.uncounted] = 0
    scatter(whole, counted, share)
    dist.all_reduce(whole, group=group)
    scatter(whole, parts, share)
    return whole


def scatter(whole: Tensor, part: Tensor, share: ParameterShare) -> None:
    """Write a rank's part where it belongs in the whole tensor."""
    for spans, places in zip(_products(share.spans), _products(_places(share.spans)), strict=True):
        whole[tuple(each.slice for each in spans)] = part[tuple(each.slice for each in places)]


def _products(spans: Sequence[Sequence[Span]]) -> Iterator[tuple[Span, ...]]:
    return product(*spans)


def _places(spans: Sequence[Sequence[Span]]) -> list[list[Span]]:
    """Return where spans are in what holds them one behind the other."""
    found = []
    for dimension in spans:
        start, places = 0, []
        for span in dimension:
            places.append(Span(start, start + len(span)))
            start += len(span)
        found.append(places)
    return found


def _leave_out(module: PreTrainedModel, stage: StagePart) -> None:
    """Replace what is on other stages."""
    body: Any = module.base_model
    blocks = body.h if hasattr(body, "h") else body.layers
    for layer in range(len(blocks)):
        if layer not in stage.layers:
            blocks[layer] = PassThrough()
    embedding, norm = ("wte", "ln_f") if hasattr(body, "wte") else ("embed_tokens", "norm")
    if not stage.first:
        setattr(body, embedding, PassThrough())
        if hasattr(body, "wpe"):
            body.wpe = NoPositions()
    if not stage.last:
        setattr(body, norm, PassThrough())
        cast(Any, module).lm_head = PassThrough()


def _shrink(module: nn.Module, shares: Mapping[str, ParameterShare]) -> None:
    """Replace each parameter by one of its share's shape; what is tied stays so."""
    made: dict[int, nn.Parameter] = {}
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if id(parameter) not in made:
            shape = shares[name].local_shape
            made[id(parameter)] = nn.Parameter(torch.empty(shape, dtype=parameter.dtype, device="meta"))
        _put(module, name, made[id(parameter)])


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(owner), attribute, parameter)


def _cut_layers(
    module: PreTrainedModel, config: DecoderConfig, place: Place, group: dist.ProcessGroup
) -> None:
    """Have layers compute with their shares: sums behind what is cut, and gradients summed before it."""
    own = tensor_slices(config, place)
    head_dim = config.dimensions.head_dim
    group_size = config.dimensions.heads // config.dimensions.kv_heads
    # Of each of the rank's query heads, which of its key/value heads it attends to.
    attended = [head // group_size - own.kv_heads.start for head in own.heads.range]
    repeats = attended.count(attended[0])
    even = all(attended.count(head) == repeats for head in attended)

    def copied(_module: nn.Module, _inputs: object, outputs: Tensor) -> Tensor:
        return copy_to_group(outputs, group)

    def repeated(_module: nn.Module, _inputs: object, outputs: Tensor) -> Tensor:
        return _repeat(outputs, attended, head_dim)

    for path, layer in list(module.named_modules()):
        each: Any = layer
        owner, _, name = path.rpartition(".")
        if isinstance(layer, PassThrough):
            continue
        if name in _BEFORE_CUT or path == "model.norm":
            layer.register_forward_hook(copied)
        elif name in _ROW_PARALLEL:
            row = RowParallel(each.weight, each.bias, group, inputs_first=config.architecture == "gpt2")
            setattr(module.get_submodule(owner), name, row)
        elif name in ("wte", "embed_tokens"):
            setattr(
                module.get_submodule(owner), name, VocabularyEmbedding(each.weight, own.vocabulary, group)
            )
        elif name in ("c_attn", "c_fc"):
            each.nf = each.weight.shape[1]
        elif name == "attn":
            each.split_size = len(own.heads) * head_dim
        elif name == "self_attn":
            each.num_key_value_groups = repeats if even else 1
        elif name in ("k_proj", "v_proj") and not even:
            layer.register_forward_hook(repeated)


def _repeat(x: Tensor, attended: list[int], head_dim: int) -> Tensor:
    """Return keys or values of each query head, ``[rows, width, heads × head_dim]``."""
    heads = x.view(*x.shape[:-1], -1, head_dim)
    return heads[:, :, attended].flatten(2)
