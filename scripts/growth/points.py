"""Which workloads the growth is measured at: each of four factors on its own, around one point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Point:
    """A workload: ``batch_size`` requests for each of the replicas, one replica a rank."""

    batch_size: int = 4
    prompt_tokens: int = 64
    new_tokens: int = 64
    ranks: int = 1

    def __str__(self) -> str:
        return (
            f"batch {self.batch_size}, prompt {self.prompt_tokens}, new {self.new_tokens}, ranks {self.ranks}"
        )


MIDDLE = Point()
FACTORS: dict[str, tuple[int, ...]] = {
    "batch_size": (1, 2, 4, 8, 16, 32, 64),
    "prompt_tokens": (16, 64, 256, 960),
    "new_tokens": (1, 4, 16, 64),
    "ranks": (1, 2, 3, 4),
}
"""The values of each factor, while the others stay those of ``MIDDLE``, which is among them."""


def along(factor: str) -> tuple[Point, ...]:
    """Return the points that differ in one factor alone, the least first."""
    return tuple(replace(MIDDLE, **{factor: value}) for value in FACTORS[factor])


def points() -> Iterator[Point]:
    """All points, none twice."""
    yield from dict.fromkeys(point for factor in FACTORS for point in along(factor))
