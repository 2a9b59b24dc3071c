"""How far a session has come, and about how long the rest of it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

LATEST = 8
"""So many of the latest cases tell how long the next ones take: cases run in the order of their device counts."""


@dataclass(frozen=True)
class Standing:
    """The running case is ``number`` of ``total``, for ``running_s`` so far; earlier ones took ``spent_s``, in order.

    A case that was skipped, or taken from a journal, took nothing that tells about others, and is not in
    ``spent_s``.
    """

    number: int
    total: int
    running_s: float
    spent_s: Sequence[float]

    @property
    def left_s(self) -> float | None:
        """About how many seconds it is until the last case ends; None while no case has ended to go by."""
        if not self.spent_s:
            return None
        each_s = fmean(self.spent_s[-LATEST:])
        return max(0.0, each_s - self.running_s) + each_s * (self.total - self.number)

    def describe(self) -> str:
        """``case 3 of 9, about 2 min left``; empty where there is only one."""
        if self.total == 1:
            return ""
        left = "" if self.left_s is None else f", about {in_words(self.left_s)} left"
        return f"case {self.number} of {self.total}{left}"


def in_words(seconds: float) -> str:
    """Return a span as roughly as it is known: in steps of 10 s, then in minutes, then in hours with one decimal."""
    if seconds <= 50:
        return f"{max(1, ceil(seconds / 10))}0 s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
