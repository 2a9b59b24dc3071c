"""Readings beyond what a machine should be at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.config.thresholds import Quantity, Severity, Threshold
from pytest_gpt_dist.telemetry.reading import Reading

_SHORTEST_S = 0.2
"""Between two looks that tell how busy the processors are: their time is counted in hundredths of a second."""
_SHOWN: dict[Quantity, tuple[str, str]] = {
    "temperature": ("temperature", " °C"),
    "gpu_memory": ("memory in use", "%"),
    "host_memory": ("memory in use", "%"),
    "cpu": ("processors in use", "%"),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """A quantity was ``value`` somewhere, above the ``limit`` of a threshold: °C or percent, as there."""

    quantity: Quantity
    severity: Severity
    where: str
    value: float
    limit: float

    def __str__(self) -> str:
        name, unit = _SHOWN[self.quantity]
        return f"{self.severity}: {self.where}: {name} {self._value}{unit}, above {self.limit:g}{unit}"

    @property
    def short(self) -> str:
        """As on a line that has room for little: ``CRITICAL GPU 3 temperature 91 °C``."""
        severity = "CRITICAL " if self.severity == "critical" else ""
        place = "" if self.where.startswith("host") else f"{self.where} "
        return f"{severity}{place}{self.quantity.replace('_', ' ')} {self._value}{_SHOWN[self.quantity][1]}"

    @property
    def _value(self) -> str:
        """As few figures as show that it is above the limit."""
        return next(
            (text for digits in range(3) if float(text := f"{self.value:.{digits}f}") > self.limit),
            f"{self.value:g}",
        )


def raised(before: Reading | None, now: Reading, thresholds: Sequence[Threshold]) -> list[Alert]:
    """Return the alerts of a look, of the most severe threshold of each quantity and place.

    Where there are no GPUs the ranks use processors on purpose: then only what everything else uses counts.
    It takes an earlier look, ``before``, to tell.
    """
    seen = list(_quantities(before, now))
    found = [
        Alert(threshold.quantity, threshold.severity, where, value, threshold.limit)
        for threshold in thresholds
        for quantity, where, value in seen
        if quantity == threshold.quantity and value > threshold.limit
    ]
    return worst(found)


def worst(alerts: Iterable[Alert]) -> list[Alert]:
    """Return the most severe alert of each quantity and place, with its highest value; in their order."""
    kept: dict[tuple[Quantity, str], Alert] = {}
    for alert in alerts:
        key = (alert.quantity, alert.where)
        if key not in kept or _weight(alert) > _weight(kept[key]):
            kept[key] = alert
    return list(kept.values())


def _weight(alert: Alert) -> tuple[bool, float, float]:
    return alert.severity == "critical", alert.value, alert.limit


def _quantities(before: Reading | None, now: Reading) -> Iterator[tuple[Quantity, str, float]]:
    for gpu in now.gpus:
        if gpu.temperature_c is not None:
            yield "temperature", f"GPU {gpu.index}", gpu.temperature_c
        if gpu.memory_bytes is not None and gpu.memory_total_bytes:
            yield "gpu_memory", f"GPU {gpu.index}", 100 * gpu.memory_bytes / gpu.memory_total_bytes
    if now.host.memory_share is not None:
        yield "host_memory", "host", 100 * now.host.memory_share
    if before is not None and (share := _busy_share(before, now)) is not None:
        yield "cpu", "host" if now.gpus else "host, without the ranks", 100 * share


def _busy_share(before: Reading, now: Reading) -> float | None:
    """Of all cores since an earlier look; on the CPU less what the ranks used, which all of them must tell."""
    elapsed_s = now.at_s - before.at_s
    if elapsed_s < _SHORTEST_S or before.host.busy_s is None or now.host.busy_s is None:
        return None
    used_s = now.host.busy_s - before.host.busy_s
    if not now.gpus:
        for earlier, rank in zip(before.ranks, now.ranks, strict=True):
            if earlier.cpu_s is None or rank.cpu_s is None:
                return None
            used_s -= rank.cpu_s - earlier.cpu_s
    return min(1.0, max(0.0, used_s / elapsed_s / now.host.cores))
