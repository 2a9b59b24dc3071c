"""The cores that this process may use, and which of them each rank owns."""

import os
from dataclasses import dataclass

from pytest_gpt_dist.host.cgroups import cpu_limit


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores by the kernel's numbers, ascending; `limit` is of how many the time may be used, None if of all."""

    numbers: tuple[int, ...]
    limit: float | None = None

    @property
    def usable(self) -> float:
        """As many cores' time is there; less than the cores where a container has a limit."""
        return len(self.numbers) if self.limit is None else min(len(self.numbers), self.limit)

    def of_rank(self, rank: int, threads: int) -> tuple[int, ...]:
        """Return the cores of one rank: `threads` neighbours each, starting over when they run out."""
        first = rank * threads
        count = len(self.numbers)
        return tuple(sorted({self.numbers[core % count] for core in range(first, first + threads)}))

    def of_ranks(self, world_size: int, threads: int) -> frozenset[int]:
        """Return the cores that a world of ranks owns together."""
        return frozenset(core for rank in range(world_size) for core in self.of_rank(rank, threads))

    def oversubscribed(self, world_size: int, threads: int) -> bool:
        """Whether the ranks together want more than there is."""
        return world_size * threads > self.usable


def own_cores() -> Cores:
    """Those of this process, which its affinity and its container leave it."""
    return Cores(tuple(sorted(os.sched_getaffinity(0))), cpu_limit())
