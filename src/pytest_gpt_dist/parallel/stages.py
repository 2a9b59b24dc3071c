"""Which layers each pipeline stage holds."""

from functools import lru_cache
from heapq import heapify, heapreplace
from itertools import pairwise

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel.dimensions import Dimensions
from pytest_gpt_dist.parallel.spans import Span


@lru_cache  # each rank of a world asks for the same
def stages(dimensions: Dimensions, count: int) -> tuple[Span, ...]:
    """Cut the layers into ``count`` contiguous stages, the slowest of which is as fast as it can be.

    The cost of a stage is the number of parameters that a decode step reads there, because decoding is bound
    by memory: those of its layers, a row of each embedding table on the first stage, and the whole head on
    the last. A parameter of the head counts three quarters, as measured on a CPU in float32: the head is one
    product, a layer small ones with attention between them, and a prefill has one token of a prompt for the head.

    Raises:
        UsageError: when there are more stages than layers.
    """
    size = dimensions
    attention = (2 * size.heads + 2 * size.kv_heads) * size.head_dim * size.hidden
    mlp = (3 if size.gated else 2) * size.hidden * size.mlp
    return balance(
        size.layers,
        count,
        layer=4 * (attention + mlp),
        embedding=4 * size.hidden * (2 if size.learned_positions else 1),
        head=3 * size.hidden * size.vocabulary,
    )


def balance(layers: int, count: int, *, layer: int, embedding: int, head: int) -> tuple[Span, ...]:
    """Cut equal layers into ``count`` runs of at least one so that the dearest run is as cheap as can be.

    The first run also bears the cost ``embedding``, the last one ``head``. Equal layers make the greedy
    choice, the next layer to the run that is cheapest so far, an optimal one.

    Raises:
        UsageError: when there are more runs than layers.
    """
    if count > layers:
        raise UsageError(
            f"pipeline parallel {count}: the model has {layers} layers, and each stage needs one"
        )
    sizes = [1] * count
    costs = [layer] * count
    costs[0] += embedding
    costs[-1] += head
    cheapest = [(cost, stage) for stage, cost in enumerate(costs)]
    heapify(cheapest)
    for _ in range(layers - count):
        cost, stage = cheapest[0]
        sizes[stage] += 1
        heapreplace(cheapest, (cost + layer, stage))
    bounds = [sum(sizes[:stage]) for stage in range(count + 1)]
    return tuple(Span(start, stop) for start, stop in pairwise(bounds))
