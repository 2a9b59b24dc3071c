"""What a report has of trainings alone: memory by kind, losses, and which strategy wins by time, by memory, by both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.results.checked import amount, entries, maybe

KINDS = ("parameters", "gradients", "optimizer", "rest")
"""Of a rank's memory, in the order in which they are stacked."""
_MIB = 2**20


@dataclass(frozen=True)
class TrainingFigures:
    """Figures of a training.

    Attributes:
        memory_bytes: by rank, bytes of each kind; a kind that is not known is left out.
        losses: of the checked steps.
        sent_bytes: of the buffers of a step's collectives, of the rank that has most.
    """

    memory_bytes: tuple[Mapping[str, float], ...]
    losses: tuple[float, ...]
    sent_bytes: float

    @property
    def largest_bytes(self) -> float | None:
        """Return the memory of the rank that takes most; None where it is not known of every rank."""
        if not all(set(KINDS) <= set(rank) for rank in self.memory_bytes):
            return None
        return max(sum(rank.values()) for rank in self.memory_bytes)


@dataclass(frozen=True)
class Contender:
    """A measured training among those on as many devices; memory in bytes of its largest rank."""

    name: str
    throughput: float
    memory_bytes: float

    @property
    def both(self) -> float:
        """Return throughput for each byte."""
        return self.throughput / self.memory_bytes


def read_training(info: Mapping[str, Any]) -> TrainingFigures:
    """Return the figures of a saved training. An error of ``results.checked`` where they are none."""
    ranks = [entries(rank) for rank in info["memory_bytes"]]
    by_rank = [{kind: maybe(amount, rank[kind]) for kind in KINDS} for rank in ranks]
    sent = [list(map(amount, of_kind)) for of_kind in entries(info["bytes_communicated"]).values()]
    return TrainingFigures(
        tuple({kind: size for kind, size in rank.items() if size is not None} for rank in by_rank),
        tuple(map(amount, info["losses"])),
        max(map(sum, zip(*sent, strict=True)), default=0.0),
    )


def winners(contenders: Sequence[Contender], rate: str) -> Iterator[str]:
    """Yield, of two or more, who wins by time, by memory and by both, and what the others lose, in sentences.

    Args:
        contenders: what was measured.
        rate: unit of the throughput.
    """
    if len(contenders) < 2:
        return
    fastest = _first(contenders, lambda each: each.throughput)
    leanest = _first(contenders, lambda each: -each.memory_bytes)
    best = _first(contenders, lambda each: each.both)
    if fastest is leanest:
        yield f"{fastest.name} is fastest and takes least memory, {_mib(fastest)}"
        return
    lost = 1 - leanest.throughput / fastest.throughput
    yield (
        f"{fastest.name} is fastest, {fastest.throughput:,.0f} {rate} with {_mib(fastest)};"
        f" {leanest.name} takes least memory, {_mib(leanest)}, and loses {lost:.0%} to it"
    )
    ratio = fastest.memory_bytes / best.memory_bytes
    if best is fastest:
        yield f"by both, {best.name} wins"
    elif best is leanest:
        yield f"by both, {best.name} wins: {ratio:.1f} times less memory outweighs the time"
    else:
        behind = 1 - best.throughput / fastest.throughput
        yield f"by both, {best.name} wins: {_mib(best)}, and {behind:.0%} behind the fastest"


def _first(contenders: Sequence[Contender], key: Callable[[Contender], float]) -> Contender:
    return max(contenders, key=key)


def _mib(contender: Contender) -> str:
    return f"{contender.memory_bytes / _MIB:,.0f} MiB"
