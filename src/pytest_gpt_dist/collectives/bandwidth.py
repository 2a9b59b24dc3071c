"""Sizes and bandwidths as nccl-tests defines them (doc/PERFORMANCE.md there). Pure."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True)
class Collective:
    """One operation on ``ranks`` ranks: its kind, and the ``elements`` of ``itemsize`` bytes of its largest buffer.

    The size is that of the buffer of a rank which holds the most: of all-gather the result, of reduce-scatter and
    all-to-all what a rank puts in.
    """

    kind: str
    ranks: int
    elements: int
    itemsize: int

    @classmethod
    def of_bytes(cls, kind: str, ranks: int, size_bytes: int, itemsize: int) -> Collective:
        """Return the collective of about so many bytes: a whole number of elements for each rank, at least one."""
        each = max(1, size_bytes // (itemsize * ranks))
        return cls(kind, ranks, each * ranks, itemsize)

    @property
    def bytes(self) -> int:
        """Return its size."""
        return self.elements * self.itemsize

    @property
    def bus_factor(self) -> float:
        """Return bus bandwidth ÷ algorithm bandwidth: what each rank has to send or receive, of the size."""
        return bus_factor(self.kind, self.ranks)

    def buffers_bytes(self) -> int:
        """Return what a rank holds: what it puts in, what it gets, and what the result is checked against."""
        return 3 * self.bytes


def bus_factor(kind: str, ranks: int) -> float:
    """Return by which factor the bus bandwidth is that of the algorithm: independent of the ranks for a perfect one."""
    if kind == "all_reduce":
        return 2 * (ranks - 1) / ranks
    if kind in ("all_gather", "reduce_scatter", "all_to_all"):
        return (ranks - 1) / ranks
    return 1.0


def written_size(size_bytes: int) -> str:
    """Return a size as case names have it: ``64KiB``, ``1000B``."""
    for unit, name in _UNITS:
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return f"{size_bytes}B"


def overlap(communication_s: float, computation_s: float, both_s: float) -> float:
    """Return which share of the shorter one is hidden when both run together: 0 for one after the other, 1 for all."""
    hidden_s = communication_s + computation_s - both_s
    return max(0.0, min(1.0, hidden_s / min(communication_s, computation_s)))
