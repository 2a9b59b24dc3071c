"""The table after a run: one row a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

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
    columns = [(header, align, [cell(row) for row in rows]) for header, align, cell in _COLUMNS]
    shown = [
        (header, align, cells)
        for header, align, cells in columns
        if header not in _ONLY_IF_MEASURED or set(cells) != {_NOTHING}
    ]
    return tabulate(
        list(zip(*(cells for _, _, cells in shown), strict=True)),
        headers=[header for header, _, _ in shown],
        disable_numparse=True,
        colalign=[align for _, align, _ in shown],
    )


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


def _layout(info: Mapping[str, Any]) -> str:
    return "dp{dp}·pp{pp}·tp{tp}".format_map(info["layout"])


_COLUMNS: tuple[tuple[str, str, Callable[[Row], str]], ...] = (
    ("case", "left", lambda row: row.case),
    ("layout", "left", lambda row: _layout(row.info)),
    ("tokens/s", "right", lambda row: _number(row.info["tokens_per_s"], "{:,.1f}")),
    ("speed-up", "right", lambda row: _number(row.info["speedup"], "{:.2f}×")),
    ("efficiency", "right", lambda row: _number(row.info["efficiency"], "{:.0%}")),
    ("of limit", "right", lambda row: _number(row.info["bandwidth_fraction"], "{:.0%}")),
    ("latency ms", "right", lambda row: _milliseconds(row.info["latency_s"])),
    ("TTFT ms", "right", lambda row: _milliseconds(row.info["ttft_s"])),
    ("GPU util.", "right", lambda row: _number(row.info["gpu_utilization"], "{:.0%}")),
    ("memory MiB", "right", lambda row: _memory(row.info["peak_memory_bytes"])),
    ("exact", "left", lambda row: _exact(row.info)),
    ("notes", "left", lambda row: ", ".join(_notes(row.info))),
)
_ONLY_IF_MEASURED = ("GPU util.",)
