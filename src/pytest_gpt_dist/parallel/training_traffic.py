"""What the data-parallel ranks of a training must communicate in a step: closed formulas without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_state import StateShapes, numel, padded_slice

NORM_BYTES = 8


@dataclass(frozen=True)
class TrainingTraffic:
    """Collectives that one rank takes part in, and the bytes of the whole buffers that they work on, by kind.

    The whole buffer is what an all-reduce sums, what an all-gather gives, what a reduce-scatter takes, and what a
    broadcast or a send moves; what goes over a wire depends on the algorithm.
    """

    calls: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all kinds."""
        return sum(self.bytes.values())


@dataclass(frozen=True)
class ExpectedTraffic:
    """What a step must send. ``bucketed`` kinds come in as many calls as a library's buckets, which it chooses."""

    traffic: TrainingTraffic
    bucketed: frozenset[str] = frozenset()

    def problem(self, counted: TrainingTraffic) -> str | None:
        """Return in a line what was counted otherwise, or None."""
        for kind in sorted({*self.traffic.bytes, *counted.bytes}):
            moved, due = counted.bytes.get(kind, 0), self.traffic.bytes.get(kind, 0)
            if moved != due:
                return f"{kind} of {moved:,} bytes in a step, its plan says {due:,}"
            calls, expected = counted.calls.get(kind, 0), self.traffic.calls.get(kind, 0)
            if kind not in self.bucketed and calls != expected:
                return f"{calls} × {kind} in a step, its plan says {expected}"
        return None


def expected_traffic(shapes: StateShapes, plan: ParallelPlan, microbatches: int) -> ExpectedTraffic | None:
    """Return the traffic of a step under a plan that divides data and state alone; None for a library not known here.

    Args:
        shapes: what the state is made of.
        plan: how it is divided.
        microbatches: of a rank in a step.
    """
    if plan.layout.dp != plan.world_size or plan.library not in ("", "zero_redundancy_optimizer", "fsdp2"):
        return None
    if plan.world_size == 1:
        return ExpectedTraffic(TrainingTraffic())
    if plan.library == "fsdp2":
        return ExpectedTraffic(_fully_sharded(shapes, plan, microbatches))
    whole = sum(map(numel, shapes.all)) * shapes.itemsize
    calls, moved = {"all_reduce": 1}, {"all_reduce": whole}
    if plan.library:
        calls["broadcast"], moved["broadcast"] = len(shapes.all), whole
    return ExpectedTraffic(TrainingTraffic(calls, moved), frozenset({"all_reduce"}))


def _fully_sharded(shapes: StateShapes, plan: ParallelPlan, microbatches: int) -> TrainingTraffic:
    """Gather each block for the forward pass, and where it was let go again for the backward pass; the root once.

    The root is the last unit of the shapes. The norm of the gradient is one all-reduce more.
    """
    units = [
        sum(padded_slice(shape, plan.dp_shard) for shape in unit) * plan.dp_shard for unit in shapes.tensors
    ]
    *blocks, root = [unit * (shapes.gathered_itemsize or shapes.itemsize) for unit in units]
    reduced = sum(units) * (shapes.reduced_itemsize or shapes.itemsize)
    times = 2 if plan.sharded == "parameters" else 1
    calls = {
        "all_gather": microbatches * (times * len(blocks) + 1),
        "reduce_scatter": microbatches * len(units),
        "all_reduce": 1,
    }
    moved = {
        "all_gather": microbatches * (times * sum(blocks) + root),
        "reduce_scatter": microbatches * reduced,
        "all_reduce": NORM_BYTES,
    }
    if plan.dp_replicate > 1:
        calls["all_reduce"] += len(units)
        moved["all_reduce"] += reduced // plan.dp_shard
    return TrainingTraffic(calls, moved)
