"""How near a case came to what its devices can do: work that had to be done ÷ time ÷ the measured limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.metrics import ThroughputMetrics
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.parallel import Coordinates, Passes, decode_bytes, prefill_flops


def mbu(case: Case, metrics: ThroughputMetrics, limits: Sequence[DeviceLimits]) -> float | None:
    """Bytes that the decode steps had to read, by all ranks, ÷ decode time ÷ what all ranks can read together."""
    if metrics.decode_tokens_per_s is None:
        return None
    decoded = sum(request.new_tokens - 1 for request in case.requests)
    size, width = case.source.config.dimensions, itemsize(case.workload.dtype)
    moved = _of_all_ranks(case, lambda at, passes: decode_bytes(size, case.layout, at, width, passes))
    return _fraction(
        moved, decoded / metrics.decode_tokens_per_s, [limit.read_bytes_per_s for limit in limits]
    )


def mfu(case: Case, metrics: ThroughputMetrics, limits: Sequence[DeviceLimits]) -> float | None:
    """Operations of the prefills, by all ranks, ÷ prefill time ÷ what all ranks can compute together."""
    tokens = sum(len(request.prompt) for request in case.requests)
    size = case.source.config.dimensions
    computed = _of_all_ranks(case, lambda at, passes: prefill_flops(size, case.layout, at, passes))
    return _fraction(computed, tokens / metrics.prefill_tokens_per_s, [limit.flops_per_s for limit in limits])


def _of_all_ranks(case: Case, work: Callable[[Coordinates, Passes], int]) -> int:
    places = [case.layout.coordinates(rank) for rank in range(case.gpus)]
    return sum(
        work(at, Passes([len(request.prompt) for request in microbatch.requests], microbatch.steps))
        for at in places
        for batch in case.batches[at.dp]
        for microbatch in batch.microbatches
    )


def _fraction(work: int, seconds: float, limits: Sequence[float | None]) -> float | None:
    known = [limit for limit in limits if limit is not None]
    return work / seconds / sum(known) if known and len(known) == len(limits) else None
