"""What the machine was beyond while cases ran, in lines under the table and in a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_gpt_dist.errors import counted, one_line
from pytest_gpt_dist.results.checked import UNREADABLE
from pytest_gpt_dist.telemetry.alerts import Alert, worst


def alert_lines(saved: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each quantity and place: its worst alert, and in how many of the cases saved there was one."""
    alerts = [alert for info in saved for alert in worst(_alerts(info))]
    return [f"{alert} ({_cases(alert, alerts)})" for alert in worst(alerts)]


def told_alerts(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Every alert of a saved case in a line, those of the launches for an A/B, too; of another version as they are."""
    return (
        *(_line(alert) for alert in _saved(info, "telemetry")),
        *(f"{_line(alert)} (in launches for the A/B)" for alert in _saved(info, "against")),
    )


def _line(told: Any) -> str:
    try:
        return one_line(Alert(**told))
    except UNREADABLE:
        parts = told.items() if isinstance(told, Mapping) else ()
        return one_line(", ".join(f"{key} {value}" for key, value in parts) or told)


def _saved(info: Mapping[str, Any], source: str) -> Iterator[Any]:
    told = info.get(source)
    found = told.get("alerts") if isinstance(told, Mapping) else None
    yield from found if isinstance(found, list | tuple) else ()


def _alerts(info: Mapping[str, Any]) -> list[Alert]:
    """Those of a case, of its launches for an A/B, too."""
    return [Alert(**told) for source in ("telemetry", "against") for told in _saved(info, source)]


def _cases(alert: Alert, alerts: Sequence[Alert]) -> str:
    count = sum((each.quantity, each.where) == (alert.quantity, alert.where) for each in alerts)
    return counted(count, "case")
