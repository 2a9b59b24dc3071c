"""The summary as CSV: a row a case, figures unrounded in base units, where each is saved, and why one is missing."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from io import StringIO

from pytest_gpt_dist.report.compared import CaseVerdict
from pytest_gpt_dist.report.figures import CaseFigures, Lost
from pytest_gpt_dist.report.findings import Findings, Group
from pytest_gpt_dist.report.machine import Machine
from pytest_gpt_dist.results.metrics import Metric

Cell = str | float | None
_OF_VERDICT = ("before_s", "after_s", "effect", "detectable", "used")

# A spreadsheet takes a text that begins with one of these for a formula, and runs it. One that separates at semicolons
# sees further beginnings, behind quotes too.
_FORMULA = re.compile(r"""(^|;[\s"]*)(?=[=+\-@＝＋－＠])""")


def summary_csv(findings: Findings) -> str:
    """Return the table; what could not be measured is an empty cell, its reason stands in the column ``missing``."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    rows = [
        dict(_row(number, group, case))
        for number, group in enumerate(findings.groups, 1)
        for case in group.cases
    ]
    # Modes have columns of their own, which stay empty in the rows of others.
    headers = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerow(headers)
    writer.writerows([_cell(row.get(name)) for name in headers] for row in rows)
    return text.getvalue()


def _cell(value: Cell) -> Cell:
    """Return the cell; what would be a formula gets the apostrophe that keeps it a text."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


def _row(number: int, group: Group, case: CaseFigures) -> list[tuple[str, Cell]]:
    launches = case.launch_range or (None, None)
    reference, form = case.reference, case.form
    judged = (form.time, *(gate.key for gate in form.gates))
    return [
        ("group", number),
        ("workload", group.heading),
        ("machine", group.machine),
        ("file", case.source),
        ("saved_at", case.saved_at),
        ("revision", case.revision or None),
        ("test", case.test),
        ("engine", case.engine),
        ("strategy", case.strategy),
        ("gpus", case.gpus),
        ("layout", case.layout),
        ("mode", form.mode),
        *case.workload.columns,
        ("launches", len(case.launch_throughputs)),
        (f"slowest_launch_{form.throughput}", launches[0]),
        (f"fastest_launch_{form.throughput}", launches[1]),
        *(entry for metric in form.figures for entry in _metric(metric, case)),
        ("speedup", case.speedup),
        ("efficiency", case.efficiency),
        ("reference", None if reference is None else str(reference)),
        (f"reference_{form.throughput}", None if reference is None else reference.throughput),
        *_lost(case.time_lost),
        ("gpu_utilization", case.gpu_utilization),
        ("largest_peak_memory_bytes", case.largest_memory_bytes),
        ("peak_memory_bytes_by_rank", _by_rank(case.peak_memory_bytes)),
        ("parameter_bytes_by_rank", _by_rank(case.parameter_bytes)),
        (
            "matches_reference",
            None if case.matches_reference is None else str(case.matches_reference).lower(),
        ),
        *_machine(case.machine),
        ("notes", "; ".join(case.notes)),
        ("alerts", "; ".join(case.alerts)),
        ("compared_with", None if case.other_side is None else case.other_side.name),
        *(entry for time in judged for entry in _verdict(time, case.verdicts)),
        ("verdicts", "; ".join(f"{verdict.metric} {verdict.kind}" for verdict in case.verdicts)),
        ("missing", "; ".join(f"{missing.figure}: {missing.why}" for missing in case.missing)),
    ]


def _metric(metric: Metric, case: CaseFigures) -> list[tuple[str, Cell]]:
    """Return a number as it is; of a latency mean and percentiles, each in a column."""
    if metric.kind == "figure":
        return [(metric.name, case.number(metric.name))]
    latency, name = case.latency(metric.name), metric.name.removesuffix("_s")
    return [
        (f"{name}_{part}_s", None if latency is None else getattr(latency, f"{part}_s"))
        for part in ("mean", "p50", "p95", "p99")
    ]


def _lost(lost: Lost | None) -> list[tuple[str, Cell]]:
    return [
        (f"time_lost_{kind.name}", None if lost is None else getattr(lost, kind.name))
        for kind in fields(Lost)
    ]


def _machine(machine: Machine) -> Iterator[tuple[str, Cell]]:
    for figure in fields(Machine):
        value = getattr(machine, figure.name)
        if figure.name in ("nvlink_bytes_per_s", "pcie_bytes_per_s"):
            yield f"{figure.name}_sent", None if value is None else value.sent
            yield f"{figure.name}_received", None if value is None else value.received
        elif figure.name == "gpu_throttling" and value is not None:
            yield figure.name, "; ".join(f"{reason} {share}" for reason, share in value)
        else:
            yield figure.name, value


def _verdict(metric: str, verdicts: Sequence[CaseVerdict]) -> list[tuple[str, Cell]]:
    """Return the verdict on a metric; times are seconds, the rest are relative changes of them."""
    found = next((verdict for verdict in verdicts if verdict.metric == metric), None)
    low, high = (None, None) if found is None or found.interval is None else found.interval
    return [
        (f"{metric}_verdict", None if found is None else found.kind),
        *((f"{metric}_{name}", None if found is None else getattr(found, name)) for name in _OF_VERDICT),
        (f"{metric}_interval_low", low),
        (f"{metric}_interval_high", high),
    ]


def _by_rank(sizes: tuple[int | None, ...]) -> str:
    return " ".join("null" if size is None else str(size) for size in sizes)
