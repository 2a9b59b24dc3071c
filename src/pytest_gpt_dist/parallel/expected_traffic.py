"""What a rank that really holds only its share must hold and communicate.

Closed formulas on purpose: the code that cuts the weights is checked against them, so they share nothing with
it but the choice of stages.
"""

from dataclasses import dataclass

from pytest_gpt_dist.parallel.dimensions import Dimensions
from pytest_gpt_dist.parallel.layout import Coordinates, Layout
from pytest_gpt_dist.parallel.stages import stages


@dataclass(frozen=True, slots=True)
class Traffic:
    """Number of communications that one rank takes part in, by kind; with itself it has none."""

    all_reduce: int = 0
    all_gather: int = 0
    send: int = 0
    recv: int = 0

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        return Traffic(
            self.all_reduce - earlier.all_reduce,
            self.all_gather - earlier.all_gather,
            self.send - earlier.send,
            self.recv - earlier.recv,
        )

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.all_reduce + other.all_reduce,
            self.all_gather + other.all_gather,
            self.send + other.send,
            self.recv + other.recv,
        )


def _start(count: int, parts: int, part: int) -> int:
    return part * (count // parts) + min(part, count % parts)


@dataclass(frozen=True, slots=True)
class Share:
    """What one tensor-parallel rank has of each kind of thing: counts, not bytes.

    Sharded over the tensor-parallel ranks: query heads with the key/value heads they need, MLP width,
    vocabulary. Held by each of them: norms, biases that follow an all-reduce, learned positions.

    Attributes:
        heads: query heads.
        kv_heads: key/value heads.
        matrices: parameters of a layer's matrices.
        vectors: parameters of a layer's norms and biases.
        table: parameters of the embedding table, and as many of the head.
        positions: parameters of the table of learned positions.
        norm: parameters of the last norm.
    """

    heads: int
    kv_heads: int
    matrices: int
    vectors: int
    table: int
    positions: int
    norm: int


def share(dimensions: Dimensions, layout: Layout, at: Coordinates) -> Share:
    """Return what the rank at ``at`` has of a layer, of the tables and of the last norm, if its stage has them."""
    size = dimensions
    first_head, next_head = _start(size.heads, layout.tp, at.tp), _start(size.heads, layout.tp, at.tp + 1)
    heads = next_head - first_head
    group = size.heads // size.kv_heads
    groups = -(-next_head // group) - first_head // group if heads else 0
    width = _start(size.mlp, layout.tp, at.tp + 1) - _start(size.mlp, layout.tp, at.tp)
    tokens = _start(size.vocabulary, layout.tp, at.tp + 1) - _start(size.vocabulary, layout.tp, at.tp)

    projected = (heads + 2 * groups) * size.head_dim
    inner = 2 * width if size.gated else width
    norm = size.hidden * (2 if size.norm_bias else 1)
    vectors = 2 * norm
    if size.attention_bias:
        vectors += projected + size.hidden
    if size.qk_norm:
        vectors += 2 * size.head_dim
    if size.mlp_bias:
        vectors += inner + size.hidden
    return Share(
        heads=heads,
        kv_heads=groups,
        matrices=(projected + heads * size.head_dim + inner + width) * size.hidden,
        vectors=vectors,
        table=tokens * size.hidden,
        positions=size.positions * size.hidden if size.learned_positions else 0,
        norm=norm,
    )


def parameter_bytes(dimensions: Dimensions, layout: Layout, at: Coordinates, itemsize: int) -> int:
    """Return the bytes of the parameters that the rank at ``at`` holds; a table tied there counts once.

    Args:
        dimensions: sizes of the model.
        layout: degrees of the world.
        at: where the rank stands.
        itemsize: bytes of one parameter.
    """
    mine = share(dimensions, layout, at)
    total = len(stages(dimensions, layout.pp)[at.pp]) * (mine.matrices + mine.vectors)
    first, last = at.pp == 0, at.pp == layout.pp - 1
    if first:
        total += mine.table + mine.positions
    if last:
        total += mine.norm
        if not (dimensions.tied and first):
            total += mine.table
    return total * itemsize


def parameter_count(dimensions: Dimensions) -> int:
    """Return the number of parameters of the whole model, a tied table counted once."""
    return parameter_bytes(dimensions, Layout(), Coordinates(), 1)


def traffic(
    dimensions: Dimensions,
    layout: Layout,
    at: Coordinates,
    passes: int,
    choices: int | None = None,
    *,
    gathers: int = 1,
) -> Traffic:
    """Return what the rank at ``at`` communicates while its replica makes some forward passes.

    A pass costs an all-reduce for the embedding and two a layer; hidden states go to the next stage, and the
    tokens chosen on the last stage back to the first.

    Args:
        dimensions: sizes of the model.
        layout: degrees of the world.
        at: where the rank stands.
        passes: forward passes through the stages, those of prompts included.
        choices: how often tokens are chosen, for all rows of a microbatch at once; with each pass if None.
        gathers: all-gathers that choosing a token takes: 1 for greedy (the best of each rank) and for
            sampling (the logits), 0 for a sampler that knows its tokens.
    """
    first, last = at.pp == 0, at.pp == layout.pp - 1
    choices = passes if choices is None else choices
    all_reduce = all_gather = 0
    if layout.tp > 1:
        all_reduce = passes * (2 * len(stages(dimensions, layout.pp)[at.pp]) + (1 if first else 0))
        all_gather = choices * gathers if last else 0
    if layout.pp == 1:
        return Traffic(all_reduce, all_gather)
    return Traffic(
        all_reduce, all_gather, send=choices if last else passes, recv=choices if first else passes
    )
