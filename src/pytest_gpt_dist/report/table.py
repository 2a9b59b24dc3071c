"""The table after a run: one row a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY, BEYOND_LIMIT
from pytest_gpt_dist.report.cells import NOTHING, exact, layout, memory, notes, number
from pytest_gpt_dist.report.names import shortened
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align
from pytest_gpt_dist.results.text import first_of

_IN_COMMON = ("device_name", "model", "dtype", "scaling")


@dataclass(frozen=True)
class Row:
    """A case's id and what it saved (``extra_info``)."""

    case: str
    info: Mapping[str, Any]


def render(rows: Sequence[Row], width: int = ANY_WIDTH) -> str:
    """Return a table for each device, model, dtype and scaling, no wider than ``width``; a dash was not measured.

    The line above a table names these four, and what the names of all its cases share.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" · ".join(str(row.info[key]) for key in _IN_COMMON), []).append(row)
    return "\n\n".join(_group(heading, group, width) for heading, group in groups.items())


def _group(heading: str, rows: Sequence[Row], width: int) -> str:
    shared, names = shortened([row.case for row in rows])
    columns = [Column("case", "left", names)]
    columns += [Column(header, align, [cell(row) for row in rows]) for header, align, cell in _COLUMNS]
    shown = [
        column
        for column in columns
        if not (column.header in _ONLY_IF_MEASURED and set(column.cells) == {NOTHING})
        and not (column.header in _ONLY_IF_NEEDED and _is_told(column, names))
    ]
    table = fitted_table(
        shown,
        width,
        by_priority=_BY_PRIORITY,
        elsewhere=OF_A_SESSION,
        notes=[", ".join(notes(row.info)) for row in rows],
    )
    above = wrapped(" · ".join(filter(None, (heading, shared))), width)
    return "\n".join([*above, table, *_beyond(rows, names, width)])


def _is_told(column: Column, names: Sequence[str]) -> bool:
    """Whether all cases are alike in it, or each name says it; that of the usual engine need not be said."""
    return len(set(column.cells)) == 1 or all(
        cell in name or cell == _USUAL_ENGINE for cell, name in zip(column.cells, names, strict=True)
    )


def _beyond(rows: Sequence[Row], names: Sequence[str], width: int) -> Iterator[str]:
    """Why shares are above 100%, in the words of a report."""
    shares: tuple[tuple[str, str, Callable[[Mapping[str, Any]], float | None]], ...] = (
        ("Efficiency", BEYOND_EFFICIENCY, lambda info: info["efficiency"] if info["gpus"] > 1 else None),
        ("Of limit", BEYOND_LIMIT, lambda info: info["mbu"]),
    )
    for said, why, share in shares:
        if beyond := [name for row, name in zip(rows, names, strict=True) if (share(row.info) or 0) > 1]:
            yield from wrapped(f"{said} is {why}: {first_of(beyond)}.", width)


def _milliseconds(summary: Mapping[str, float] | None) -> str:
    return NOTHING if summary is None else f"{summary['mean'] * 1e3:,.1f}"


_COLUMNS: tuple[tuple[str, Align, Callable[[Row], str]], ...] = (
    ("engine", "left", lambda row: row.info["engine"]),
    ("strategy", "left", lambda row: row.info["strategy"]),
    ("layout", "left", lambda row: layout(row.info)),
    ("tokens/s", "right", lambda row: number(row.info["tokens_per_s"], "{:,.1f}")),
    ("speed-up", "right", lambda row: number(row.info["speedup"], "{:.2f}×")),
    ("efficiency", "right", lambda row: number(row.info["efficiency"], "{:.0%}")),
    ("of limit", "right", lambda row: number(row.info["mbu"], "{:.0%}")),
    ("latency ms", "right", lambda row: _milliseconds(row.info["latency_s"])),
    ("TTFT ms", "right", lambda row: _milliseconds(row.info["ttft_s"])),
    ("GPU util.", "right", lambda row: number(row.info["gpu_utilization"], "{:.0%}")),
    ("memory MiB", "right", lambda row: memory(row.info["peak_memory_bytes"])),
    ("exact", "left", lambda row: exact(row.info["matches_reference"], row.info["max_logit_error"])),
)
_ONLY_IF_MEASURED = ("GPU util.",)
"""Header, alignment and cell of each column behind the case, in the order in which they stand."""
_ONLY_IF_NEEDED = ("engine", "strategy")
_USUAL_ENGINE = "native"
_BY_PRIORITY = (
    "engine",
    "strategy",
    "tokens/s",
    "speed-up",
    "efficiency",
    "latency ms",
    "TTFT ms",
    "exact",
    "of limit",
    "memory MiB",
    "layout",
    "GPU util.",
)
