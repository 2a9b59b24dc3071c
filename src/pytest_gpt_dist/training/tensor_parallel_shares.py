"""Which part of which tensor a tensor-parallel rank holds for training: the plan, without any data.

``share_of(config, Place(rank, size), name)`` says it of one tensor of a checkpoint. Heads, columns of the MLP and
tokens are cut as inference cuts them, unevenly where they do not divide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.tensors import HEAD_NAME, checkpoint_tensors, embedding_name
from pytest_gpt_dist.parallel import Span, kv_heads, split


@dataclass(frozen=True, slots=True)
class Place:
    """Which of how many tensor-parallel ranks."""

    rank: int
    size: int


@dataclass(frozen=True, slots=True)
class ParameterShare:
    """A rank's part of a tensor.

    Attributes:
        name: of the tensor in checkpoints.
        shape: of the whole tensor.
        spans: of each dimension, what the rank holds of it, one behind the other.
        is_cut: ranks hold different parts of it; else each holds it whole.
        summed: of the first dimension, what several ranks hold and each has but a part of the gradient's sum of.
        uncounted: how many of the rank's first rows an earlier rank counts for the norm of the gradient.
    """

    name: str
    shape: tuple[int, ...]
    spans: tuple[tuple[Span, ...], ...]
    is_cut: bool
    summed: tuple[Span, ...] = ()
    uncounted: int = 0

    @property
    def local_shape(self) -> tuple[int, ...]:
        """Return the shape of the rank's part."""
        return tuple(sum(map(len, spans)) for spans in self.spans)

    @property
    def elements(self) -> int:
        """Return the number of elements of the rank's part."""
        return prod(self.local_shape)

    def local_rows(self, rows: Span) -> tuple[Span, Span] | None:
        """Return where the rank has rows of the whole tensor: in its part, and in ``rows``; None if it has none."""
        before = 0
        for span in self.spans[0]:
            start, stop = max(span.start, rows.start), min(span.stop, rows.stop)
            if start < stop:
                here = before + start - span.start
                return Span(here, here + stop - start), Span(start - rows.start, stop - rows.start)
            before += len(span)
        return None


@dataclass(frozen=True, slots=True)
class TensorSlices:
    """What a tensor-parallel rank has of each thing that is divided; ``summed_kv`` heads have partial gradients."""

    heads: Span
    kv_heads: Span
    mlp: Span
    vocabulary: Span
    summed_kv: tuple[Span, ...]
    uncounted_kv: int


def tensor_slices(config: DecoderConfig, place: Place) -> TensorSlices:
    """Return what a rank has. UsageError where ranks would be left without a head, a column or a token."""
    size = config.dimensions
    for count, what in ((size.heads, "heads"), (size.mlp, "columns in its MLP"), (size.vocabulary, "tokens")):
        if place.size > count:
            raise UsageError(
                f"tensor parallel {place.size}: the model has {count} {what}, and each rank needs one"
            )
    by_rank = split(size.heads, place.size)
    held = [kv_heads(heads, size.heads, size.kv_heads) for heads in by_rank]
    own = held[place.rank]
    repeated = [head for head in range(size.kv_heads) if sum(head in span for span in held) > 1]
    earlier = held[place.rank - 1].stop if place.rank else own.start
    return TensorSlices(
        by_rank[place.rank],
        own,
        split(size.mlp, place.size)[place.rank],
        split(size.vocabulary, place.size)[place.rank],
        tuple(Span(head, head + 1) for head in repeated),
        max(0, earlier - own.start),
    )


def share_of(config: DecoderConfig, place: Place, name: str) -> ParameterShare:
    """Return a rank's part of a tensor; a tied head is cut as the embedding is, and has its name."""
    if name == HEAD_NAME and config.dimensions.tied:
        name = embedding_name(config)
    shape = checkpoint_tensors(config)[name].shape
    own = tensor_slices(config, place)
    whole = tuple((Span(0, length),) for length in shape)
    if place.size == 1:
        return ParameterShare(name, shape, whole, is_cut=False)
    if name in (HEAD_NAME, embedding_name(config)):
        return _cut(name, shape, 0, own.vocabulary)
    cut = _cut_gpt2 if config.architecture == "gpt2" else _cut_rotary
    return cut(config, own, name, shape) or ParameterShare(name, shape, whole, is_cut=False)


def _cut_gpt2(
    config: DecoderConfig, own: TensorSlices, name: str, shape: tuple[int, ...]
) -> ParameterShare | None:
    """Cut GPT-2's tensors, whose matrices have inputs as rows; queries, keys and values stand side by side."""
    size = config.dimensions
    heads = own.heads.scaled(size.head_dim)
    last = len(shape) - 1
    if ".attn.c_attn." in name:
        starts = (block * size.hidden for block in range(3))
        return _cut(name, shape, last, *(Span(start + heads.start, start + heads.stop) for start in starts))
    if name.endswith(".attn.c_proj.weight"):
        return _cut(name, shape, 0, heads)
    if ".mlp.c_fc." in name:
        return _cut(name, shape, last, own.mlp)
    return _cut(name, shape, 0, own.mlp) if name.endswith(".mlp.c_proj.weight") else None


def _cut_rotary(
    config: DecoderConfig, own: TensorSlices, name: str, shape: tuple[int, ...]
) -> ParameterShare | None:
    """Cut the tensors of Llama and Qwen3, whose matrices have outputs as rows."""
    head_dim = config.dimensions.head_dim
    query, key_value = own.heads.scaled(head_dim), own.kv_heads.scaled(head_dim)
    layer = name.split(".")[-2]
    rows = {
        "q_proj": query,
        "k_proj": key_value,
        "v_proj": key_value,
        "gate_proj": own.mlp,
        "up_proj": own.mlp,
    }
    columns = {"o_proj.weight": query, "down_proj.weight": own.mlp}
    if layer in rows:
        share = _cut(name, shape, 0, rows[layer])
        if rows[layer] is not key_value:
            return share
        summed = tuple(head.scaled(head_dim) for head in own.summed_kv)
        return replace(share, summed=summed, uncounted=own.uncounted_kv * head_dim)
    if (tail := name.split(".", 4)[-1]) in columns:
        return _cut(name, shape, 1, columns[tail])
    if layer in ("q_norm", "k_norm"):  # whole, but each rank normalises its own heads alone
        whole = Span(0, shape[0])
        return ParameterShare(name, shape, ((whole,),), is_cut=False, summed=(whole,))
    return None


def _cut(name: str, shape: tuple[int, ...], dimension: int, *spans: Span) -> ParameterShare:
    parts = tuple(spans if place == dimension else (Span(0, shape[place]),) for place in range(len(shape)))
    return ParameterShare(name, shape, parts, is_cut=True)
