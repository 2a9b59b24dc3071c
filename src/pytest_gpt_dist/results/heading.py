"""What was run on what, in a line: the heading of a workload, and the name of a case's series over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results.result_format import format_of

LONGEST_SERIES = 1024
"""Characters: the most that Bencher takes for a name."""


def workload(info: Mapping[str, Any]) -> str:
    """Return what was run on what, as a heading. KeyError, TypeError or ValueError where an entry is damaged."""
    return " · ".join([*format_of(info).workload(info).words, info["device_name"]])


def series(test: str, info: Mapping[str, Any]) -> str:
    """Return the name under which a tracker keeps a case's numbers over time.

    Trackers tell series apart by their names alone. So it says what a change of makes another series: test, engine,
    layout, workload and machine; and not what one wants to see the effect of, such as revisions and versions.
    """
    parts = [
        test,
        info["engine"],
        degrees(info["layout"]),
        *format_of(info).workload(info).words,
        _machine(info),
    ]
    return one_line(" · ".join(parts), LONGEST_SERIES)


def degrees(layout: Mapping[str, int]) -> str:
    """Return a saved layout as options and fingerprints write it, such as ``dp2pp1tp2``."""
    return "".join(f"{degree}{layout[degree]}" for degree in ("dp", "pp", "tp"))


def _machine(info: Mapping[str, Any]) -> str:
    """Return the device, and of a processor how many cores there are: clouds sell one processor in many sizes."""
    cores = info["fingerprint"].get("cores") if info["device"] == "cpu" else None
    return str(info["device_name"]) if cores is None else f"{info['device_name']}, cores: {cores}"
