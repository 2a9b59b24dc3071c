"""What the machine was beyond while cases ran, in lines under the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_gpt_dist.measure.telemetry.alerts import Alert, worst


def alert_lines(saved: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each quantity and place: its worst alert, and in how many of the cases saved there was one."""
    alerts = [alert for info in saved for alert in worst(_alerts(info))]
    return [f"{alert} ({_cases(alert, alerts)})" for alert in worst(alerts)]


def _alerts(info: Mapping[str, Any]) -> list[Alert]:
    """Those of a case, of its launches for an A/B, too."""
    sources = (info.get("telemetry") or {}, info.get("against") or {})
    return [Alert(**alert) for source in sources for alert in source.get("alerts", ())]


def _cases(alert: Alert, alerts: Sequence[Alert]) -> str:
    count = sum((each.quantity, each.where) == (alert.quantity, alert.where) for each in alerts)
    return f"{count} cases" if count > 1 else "1 case"
