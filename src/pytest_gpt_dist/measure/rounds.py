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
