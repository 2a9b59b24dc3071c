"""When the condition of a machine is worth an alert, and how a user writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Quantity = Literal["temperature", "gpu_memory", "host_memory", "cpu"]
Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """More of a quantity than ``limit`` is an alert: °C of the temperature, percent of all others."""

    quantity: Quantity
    limit: float
    severity: Severity = "warning"


DEFAULT_THRESHOLDS = (
    Threshold("temperature", 80.0),
    Threshold("gpu_memory", 90.0),
    Threshold("host_memory", 85.0),
    Threshold("cpu", 90.0),
)
_QUANTITIES: dict[str, Quantity] = {name: name for name in get_args(Quantity)}
_SEVERITIES: dict[str | None, Severity] = {None: "warning"} | {name: name for name in get_args(Severity)}
_WRITTEN = re.compile(r"(\w+)=([0-9]{1,3}(?:\.[0-9]+)?)(?::(\w+))?")


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Those of a list such as ``temperature=85:critical,cpu=50``, then the defaults of what it does not name."""
    given = tuple(_threshold(part.strip()) for part in text.split(","))
    named = {threshold.quantity for threshold in given}
    return (*given, *(default for default in DEFAULT_THRESHOLDS if default.quantity not in named))


def _threshold(text: str) -> Threshold:
    match = _WRITTEN.fullmatch(text)
    if match is None or match[1] not in _QUANTITIES or match[3] not in _SEVERITIES:
        raise ValueError(
            "expected limits such as temperature=85,cpu=50:critical;"
            f" there are {', '.join(_QUANTITIES)}, and {' and '.join(get_args(Severity))}"
        )
    return Threshold(_QUANTITIES[match[1]], float(match[2]), _SEVERITIES[match[3]])
