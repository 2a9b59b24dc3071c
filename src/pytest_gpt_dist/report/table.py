"""The table after a run: one row a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

_HEADERS = (
    "case",
    "layout",
    "tokens/s",
    "speed-up",
    "efficiency",
    "latency ms",
    "TTFT ms",
    "GPU util.",
    "memory MiB",
    "exact",
    "notes",
)
_IN_COMMON = ("device_name", "model", "dtype", "scaling")
_NOTHING = "-"
_MIB = 2**20


@dataclass(frozen=True)
class Row:
    """A case's id and what it saved (``extra_info``)."""

    case: str
    info: Mapping[str, Any]


def render(rows: Sequence[Row]) -> str:
    """A table for each device, model, dtype and scaling, under a line that names them; a dash was not measured."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" · ".join(str(row.info[key]) for key in _IN_COMMON), []).append(row)
    return "\n\n".join(f"{heading}\n{_table(group)}" for heading, group in groups.items())


def _table(rows: Sequence[Row]) -> str:
    return tabulate(
        [_cells(row) for row in rows],
        headers=_HEADERS,
        disable_numparse=True,
        colalign=("left", "left", *["right"] * 7, "left", "left"),
    )


def _cells(row: Row) -> list[str]:
    info = row.info
    layout = info["layout"]
    return [
        row.case,
        f"dp{layout['dp']}·pp{layout['pp']}·tp{layout['tp']}",
        _number(info["tokens_per_s"], "{:,.1f}"),
        _number(info["speedup"], "{:.2f}×"),
        _number(info["efficiency"], "{:.0%}"),
        _milliseconds(info["latency_s"]),
        _milliseconds(info["ttft_s"]),
        _number(info["gpu_utilization"], "{:.0%}"),
        _memory(info["peak_memory_bytes"]),
        _exact(info),
        ", ".join(_notes(info)),
    ]


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else form.format(value)


def _milliseconds(summary: Mapping[str, float] | None) -> str:
    return _NOTHING if summary is None else f"{summary['mean'] * 1e3:,.1f}"


def _memory(by_rank: Sequence[int | None]) -> str:
    """The largest of the ranks."""
    known = [size for size in by_rank if size is not None]
    return f"{max(known) / _MIB:,.0f}" if known else _NOTHING


def _exact(info: Mapping[str, Any]) -> str:
    if info["matches_reference"] is None:
        return "no reference"
    return f"yes ({info['max_logit_error']:.0e})"


def _notes(info: Mapping[str, Any]) -> list[str]:
    notes = []
    if info["degenerate"]:
        notes.append(f"= {info['degenerate']}")
    if info["oversubscribed"]:
        notes.append("oversubscribed")
    if info["shared_gpu"]:
        notes.append("shared GPU")
    if info["tokens_per_s"] is None:
        notes.append("untimed")
    if info["resumed"]:
        notes.append("resumed")
    return notes + list(info["marks"])
