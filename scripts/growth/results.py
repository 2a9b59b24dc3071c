"""The file of the measured points, which an interrupted run continues."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.figures import Figures
from scripts.growth.points import Point

from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True)
class Setting:
    """What all points have in common."""

    model: str
    dtype: str
    launches: int


@dataclass(frozen=True)
class Measured:
    """A point, what it came to, when in UTC, and how many processes were runnable in the minute before."""

    point: Point
    date: str
    load_before: float
    figures: Figures


@dataclass(frozen=True)
class Results:
    """What was measured where."""

    setting: Setting
    machine: dict[str, str | int]
    measured: tuple[Measured, ...] = ()

    def of(self, point: Point) -> Figures | None:
        """Return what the point came to, if it was measured."""
        return next((each.figures for each in self.measured if each.point == point), None)

    def missing(self, points: Iterable[Point]) -> tuple[Point, ...]:
        """Those that are left to measure."""
        return tuple(point for point in points if self.of(point) is None)


def read_results(file: Path) -> Results:
    """Return the results in a file; UsageError where it has none."""
    try:
        saved = json.loads(file.read_text())
        measured = tuple(
            Measured(
                Point(**entry["point"]), entry["date"], entry["load_before"], Figures.read(entry["figures"])
            )
            for entry in saved["measured"]
        )
        return Results(Setting(**saved["setting"]), saved["machine"], measured)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: no results of this script ({error})") from None
