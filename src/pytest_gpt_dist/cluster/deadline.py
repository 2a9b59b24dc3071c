"""When waiting ends. Every wait of a cluster has its time from the one budget of the configuration."""

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment, of time.monotonic(), at which all waits end that were given it."""

    at_s: float

    @classmethod
    def after(cls, *budgets_s: float) -> Self:
        """Return the one after the least of some budgets: a grace is no longer than the timeout."""
        return cls(time.monotonic() + min(budgets_s))

    def left_s(self) -> float:
        """Return how long there is, 0 when it has passed."""
        return max(0.0, self.at_s - time.monotonic())
