"""Timed rounds as plain values: how many are asked for, and what each took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How many rounds a launch: ``warmup`` untimed ones, then a fixed count or until ``enough_rounds`` says so."""

    warmup: int
    rounds: int | None
    min_rounds: int
    max_time_s: float
    launches: int = 1


@dataclass(frozen=True)
class Reading:
    """Seconds of each piece of a yardstick's work, of the slowest rank; ``all_reduce_s`` is None of a single rank."""

    read_s: float
    product_s: float
    all_reduce_s: float | None

    @property
    def seconds(self) -> float:
        """Return what the reading cost."""
        return self.read_s + self.product_s + (self.all_reduce_s or 0.0)
