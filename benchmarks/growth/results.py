"""The file of the measured points, which an interrupted run continues."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.growth.points import Point

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
        """What the point came to, if it was measured."""
        return next((each.figures for each in self.measured if each.point == point), None)

    def missing(self, points: Iterable[Point]) -> tuple[Point, ...]:
        """Those that are left to measure."""
        return tuple(point for point in points if self.of(point) is None)


def read_results(file: Path) -> Results:
    """The results in a file; UsageError where it has none."""
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


def write_results(file: Path, results: Results) -> None:
    """Put the results on disk."""
    file.write_text(json.dumps(asdict(results), indent=1) + "\n")


def continued(file: Path, setting: Setting, machine: dict[str, str | int]) -> Results:
    """What the file has of this setting on this machine; UsageError where it is of another."""
    if not file.exists():
        return Results(setting, machine)
    found = read_results(file)
    if (found.setting, found.machine) != (setting, machine):
        raise UsageError(f"{file}: its setting or machine is another; choose another file, or remove it")
    return found
