"""What was seen of one launch: readings before, during and after its timed rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_gpt_dist.telemetry.alerts import Alert
from pytest_gpt_dist.telemetry.counters import Points
from pytest_gpt_dist.telemetry.reading import Reading

INTERVAL_S = 0.5
"""Between two looks: one takes a core for a millisecond or two, and the ranks may own every one."""

Figure = Callable[[Reading], float | None]
"""Which figure of a reading is meant."""


@dataclass(frozen=True)
class Observation:
    """Readings in the order of time; the rounds lasted from ``start_s`` to ``end_s``, with what lies between them.

    ``alerts`` are those of the whole launch, loading included.
    """

    readings: tuple[Reading, ...]
    start_s: float
    end_s: float
    alerts: tuple[Alert, ...] = ()

    @property
    def span_s(self) -> float:
        """How long the rounds lasted, with what lies between them."""
        return self.end_s - self.start_s

    @property
    def brief(self) -> bool:
        """Whether what lies between looks is mostly what surrounded the rounds."""
        return self.span_s < 2 * INTERVAL_S

    @property
    def inside(self) -> tuple[Reading, ...]:
        """The readings during the rounds; where they were too short for one, the next after them."""
        inside = tuple(reading for reading in self.readings if self.start_s <= reading.at_s <= self.end_s)
        return inside or tuple(reading for reading in self.readings if reading.at_s > self.end_s)[:1]

    def points(self, figure: Figure) -> Points:
        """Return a figure over time, without the readings that lack it."""
        seen = ((reading.at_s, figure(reading)) for reading in self.readings)
        return [(at_s, value) for at_s, value in seen if value is not None]
