"""What a rank that really divides the state of a training must hold: closed formulas without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.parallel.plan import ParallelPlan

_STEP_COUNTER_BYTES = 4
"""AdamW counts its steps for each tensor, in float32."""


@dataclass(frozen=True, slots=True)
class StateBytes:
    """Bytes on one rank: parameters between steps, their gradients before they are let go, the optimizer's state."""

    parameters: int
    gradients: int
    optimizer: int


@dataclass(frozen=True, slots=True)
class StateShapes:
    """What the state of a training is made of.

    Attributes:
        tensors: shapes of the parameters in units that are gathered together: each block's, and the rest's.
        itemsize: bytes of a parameter, of its gradient and of each number that the optimizer keeps.
        states: how many numbers the optimizer keeps for a parameter.
        gathered_itemsize: bytes of a parameter as ranks gather it; 0 for the same.
        reduced_itemsize: bytes of a gradient as ranks reduce it; 0 for the same.
    """

    tensors: tuple[tuple[tuple[int, ...], ...], ...]
    itemsize: int
    states: int
    gathered_itemsize: int = 0
    reduced_itemsize: int = 0

    @property
    def all(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of all units."""
        return tuple(shape for unit in self.tensors for shape in unit)


def expected_state(shapes: StateShapes, plan: ParallelPlan, rank: int) -> StateBytes | None:
    """Return what a rank holds under a plan that divides data and state alone; None for a library not known here."""
    size = shapes.itemsize
    whole = sum(map(numel, shapes.all)) * size
    if plan.layout.dp != plan.world_size:
        return None
    if plan.library == "fsdp2":
        at = rank % plan.dp_shard
        padded = sum(padded_slice(shape, plan.dp_shard) for shape in shapes.all) * size
        own = [slice_rows(shape[0], plan.dp_shard, at) * numel(shape[1:]) for shape in shapes.all]
        return StateBytes(padded, padded, _optimizer(own, shapes))
    if plan.library == "zero_redundancy_optimizer":
        return StateBytes(whole, whole, _optimizer(greedy_share(shapes.all, plan.dp_shard, rank), shapes))
    if not plan.library:
        return state_of([numel(shape) for shape in shapes.all], shapes)
    return None


def state_of(sizes: Sequence[int], shapes: StateShapes) -> StateBytes:
    """Return the state of a rank that holds tensors of so many elements, with all of their gradients and state."""
    parameters = sum(sizes) * shapes.itemsize
    return StateBytes(parameters, parameters, _optimizer(sizes, shapes))


def numel(shape: Sequence[int]) -> int:
    """Return the number of elements of a shape."""
    found = 1
    for side in shape:
        found *= side
    return found


def padded_slice(shape: Sequence[int], shards: int) -> int:
    """Return the elements of each rank's slice of the first dimension, padded so that all are of one size."""
    return -(-shape[0] // shards) * numel(shape[1:])


def slice_rows(rows: int, shards: int, at: int) -> int:
    """Return how many rows a rank really has: all slices but the last ones are full, and those may be empty."""
    full = -(-rows // shards)
    return max(0, min(rows, (at + 1) * full) - at * full)


def greedy_share(shapes: Sequence[Sequence[int]], shards: int, rank: int) -> list[int]:
    """Return the elements of each tensor whose optimizer state a rank keeps.

    Largest first, each to the rank that has least so far, the first one of several: torch's
    ``ZeroRedundancyOptimizer._partition_parameters``.
    """
    loads = [0] * shards
    mine = []
    for size in sorted(map(numel, shapes), reverse=True):
        least = loads.index(min(loads))
        loads[least] += size
        if least == rank:
            mine.append(size)
    return mine


def _optimizer(sizes: Sequence[int], shapes: StateShapes) -> int:
    if not shapes.states:
        return 0
    return sum(sizes) * shapes.states * shapes.itemsize + len(sizes) * _STEP_COUNTER_BYTES
