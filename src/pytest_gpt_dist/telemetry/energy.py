"""What devices used up in a span of time: from a counter of energy, else from their power. Pure."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from pytest_gpt_dist.telemetry.counters import Points, growth, interpolated, step

_POWERCAP = Path("/sys/class/powercap")


def energy_j(counter: Points, power: Points, start_s: float, end_s: float) -> float | None:
    """Joules by the counter where there is one, else the integral of watts; None where neither covers the span."""
    counted = growth(counter, start_s, end_s)
    return integral(power, start_s, end_s) if counted is None else counted


def integral(points: Points, start_s: float, end_s: float) -> float | None:
    """Of values that change evenly between readings (trapezoids); None where these do not cover the span."""
    edges = [start_s, *(at_s for at_s, _ in points if start_s < at_s < end_s), end_s]
    values = interpolated(points, edges)
    if values is None:
        return None
    steps = zip(pairwise(edges), pairwise(values), strict=True)
    return sum((right - left) * (before + after) / 2 for (left, right), (before, after) in steps)


class PackageEnergy:
    """Joules of all packages since the first reading; many kernels show them to root alone."""

    def __init__(self, folder: Path = _POWERCAP) -> None:
        self._zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_package(zone)]
        self._last_uj: list[int] = []
        self._total_uj = 0.0

    def read(self) -> float | None:
        """Joules, or None where a package does not tell. The kernel's counters start over; this one does not."""
        try:
            now_uj = [_integer(zone / "energy_uj") for zone in self._zones]
            limits_uj = [_integer(zone / "max_energy_range_uj") for zone in self._zones]
        except (OSError, ValueError):
            return None
        if not now_uj:
            return None
        last_uj = self._last_uj or now_uj
        self._total_uj += sum(map(step, last_uj, now_uj, limits_uj))
        self._last_uj = now_uj
        return self._total_uj / 1e6


def _is_package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _integer(path: Path) -> int:
    return int(path.read_text())
