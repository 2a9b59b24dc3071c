"""The table after a run: one row a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY
from pytest_gpt_dist.report.cells import NOTHING, exact, layout, memory, notes, number
from pytest_gpt_dist.report.names import without_shared
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
from pytest_gpt_dist.results.heading import workload
from pytest_gpt_dist.results.metrics import Metric
from pytest_gpt_dist.results.result_format import ResultFormat, format_of
from pytest_gpt_dist.results.table import Align
from pytest_gpt_dist.results.text import first_of

_IN_COMMON = ("device_name", "model", "dtype", "scaling")


@dataclass(frozen=True)
class Row:
    """A case's id and what it saved (``extra_info``)."""

    case: str
    info: Mapping[str, Any]

    @property
    def form(self) -> ResultFormat:
        """Return how results of its mode are shown."""
        return format_of(self.info)


def render(rows: Sequence[Row], width: int = ANY_WIDTH) -> str:
    """Return a table for each mode, device, model, dtype and scaling, no wider than ``width``; a dash was not measured.

    The line above a table names these four, and what the names of all its cases share. Of a sweep each workload has a
    table of its own; workloads of one case each stay together.
    """
    groups = _by(rows, lambda row: " · ".join(str(row.info[key]) for key in _IN_COMMON if key in row.info))
    tables: list[tuple[str, list[Row]]] = []
    for heading, group in groups:
        workloads = _by(group, lambda row: workload(row.info))
        swept = len(workloads) > 1 and all(len(each) > 1 for _, each in workloads)
        tables += workloads if swept else [(heading, group)]
    return "\n\n".join(_group(heading, group, width) for heading, group in tables)


def _by(rows: Sequence[Row], heading: Callable[[Row], str]) -> list[tuple[str, list[Row]]]:
    """Return rows under their heading, those of each mode apart, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.form.mode, heading(row)), []).append(row)
    return [(text, group) for (_, text), group in groups.items()]


def _group(heading: str, rows: Sequence[Row], width: int) -> str:
    shared, names = without_shared([row.case for row in rows])
    columns = [Column("case", "left", names)]
    parts = _columns(rows[0].form)
    columns += [Column(header, align, [cell(row) for row in rows]) for header, align, cell in parts]
    shown = [
        column
        for column in columns
        if not (column.header in _ONLY_IF_MEASURED and set(column.cells) == {NOTHING})
        and not (column.header in _ONLY_IF_NEEDED and _is_told(column, names))
    ]
    table = fitted_table(
        shown,
        width,
        by_priority=_by_priority(rows[0].form),
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
    several = [(row, name) for row, name in zip(rows, names, strict=True) if row.info["gpus"] > 1]
    if beyond := [name for row, name in several if (row.info["efficiency"] or 0) > 1]:
        yield from wrapped(f"Efficiency is {BEYOND_EFFICIENCY}: {first_of(beyond)}.", width)
    for limit in rows[0].form.limits[:1]:
        found = [(name, row.info[limit.metric]) for row, name in zip(rows, names, strict=True)]
        if limit.beyond and (beyond := [name for name, share in found if (share or 0) > 1]):
            yield from wrapped(f"{limit.why_beyond}: {first_of(beyond)}.", width)


_Part = tuple[str, Align, Callable[[Row], str]]
"""Header, alignment and cell of a column behind the case."""


def _columns(form: ResultFormat) -> tuple[_Part, ...]:
    """Columns in the order in which they stand."""
    return (
        ("engine", "left", lambda row: row.info["engine"]),
        ("strategy", "left", lambda row: row.info["strategy"]),
        ("layout", "left", lambda row: layout(row.info)),
        (form.rate, "right", lambda row: number(row.info[form.throughput], "{:,.1f}")),
        ("speed-up", "right", lambda row: number(row.info["speedup"], "{:.2f}×")),
        ("efficiency", "right", lambda row: number(row.info["efficiency"], "{:.0%}")),
        *((limit.label, "right", _share(limit.metric)) for limit in form.limits[:1]),
        *((_header(metric), "right", _figure(metric)) for metric in form.further if metric.summary),
        (_UTILIZATION, "right", lambda row: number(row.info["gpu_utilization"], "{:.0%}")),
        ("memory MiB", "right", lambda row: memory(row.info["peak_memory_bytes"])),
        ("exact", "left", lambda row: exact(row.info["matches_reference"], row.info.get(form.error))),
    )


def _by_priority(form: ResultFormat) -> tuple[str, ...]:
    """Headers of columns, those first that are wanted most where not all fit."""
    return (
        *("engine", "strategy", form.rate, "speed-up", "efficiency"),
        *(_header(metric) for metric in form.further if metric.summary),
        *("exact", *(limit.label for limit in form.limits[:1]), "memory MiB", "layout", _UTILIZATION),
    )


def _header(metric: Metric) -> str:
    return f"{metric.label} ms" if metric.kind == "latency" else metric.label


def _share(name: str) -> Callable[[Row], str]:
    return lambda row: number(row.info[name], "{:.0%}")


def _figure(metric: Metric) -> Callable[[Row], str]:
    """Return the number, or the mean of a latency, as it is shown."""

    def cell(row: Row) -> str:
        value = row.info[metric.name]
        if metric.kind == "latency" and value is not None:
            value = value["mean"]
        return NOTHING if value is None else metric.shown(value)

    return cell


_UTILIZATION = "GPU util."
_ONLY_IF_MEASURED = (_UTILIZATION,)
_ONLY_IF_NEEDED = ("engine", "strategy")
_USUAL_ENGINE = "native"
