"""What every written report consists of, in its order; the writers differ in markup alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Findings, Group
from pytest_gpt_dist.report.glossary import glossary
from pytest_gpt_dist.report.key_findings import KeyFinding, at_a_glance, key_findings
from pytest_gpt_dist.report.overview import Overview, overview
from pytest_gpt_dist.report.tables import (
    LOSSES,
    SOURCES,
    Column,
    VerdictRow,
    beside_columns,
    figure_columns,
    latency_columns,
    meanwhile_columns,
    profile_columns,
    verdict_headers,
    verdict_rows,
)

_TITLE = "Performance of distributed GPT models"
GROUPS = "What does not compare stands in groups of its own"
_LOSSES = (
    "What became of the ranks' time: shares that make up the whole."
    " Other is below 0 where ranks do their share faster than one device would."
)

_PROFILES = (
    "Shares of what all operators of a profiled round took, on all ranks; such a round is never a timed one."
)


@dataclass(frozen=True)
class Cell:
    """A cell's text, and why there is no figure in it, empty where there is one."""

    text: str
    why: str


@dataclass(frozen=True)
class Table:
    """A table under a sentence on its units."""

    title: str
    about: str
    columns: tuple[Column, ...]
    cases: tuple[CaseFigures, ...]

    @property
    def rows(self) -> list[list[Cell]]:
        """Cells by case and column."""
        return [
            [Cell(column.cell(case), case.why_missing(column.figure)) for column in self.columns]
            for case in self.cases
        ]


@dataclass(frozen=True)
class Section:
    """All that is said of one group of a report's; ``glance`` is that in a line, ``suffix`` ends its files' names."""

    number: int
    of: int
    group: Group
    glance: str
    overview: Overview
    key_findings: tuple[KeyFinding, ...]
    verdicts: tuple[VerdictRow, ...]
    verdict_headers: tuple[str, ...]
    alerts: tuple[KeyFinding, ...]
    tables: tuple[Table, ...]

    @property
    def heading(self) -> str:
        """The workload, behind the number where there are several groups."""
        number = "" if self.of == 1 else f"Group {self.number} of {self.of}: "
        return f"{number}{self.group.heading}"

    @property
    def apart(self) -> str:
        """A sentence on what it differs in from an earlier group; empty for the first."""
        return f"Differs from {self.group.apart}." if self.group.apart else ""

    @property
    def named(self) -> str:
        """A sentence on what the names of all cases share, which is said once; empty where that is nothing."""
        return f"Cases are named by what stands for … in {self.group.shared}" if self.group.shared else ""

    @property
    def suffix(self) -> str:
        """Empty for the first group."""
        return "" if self.number == 1 else f"_{self.number}"


@dataclass(frozen=True)
class Document:
    """A report before it is written in some format; ``glossary`` has the words that need a definition."""

    title: str
    made: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    glossary: tuple[tuple[str, str], ...]


def compose(findings: Findings, made_at: datetime) -> Document:
    """Return the sections of a report made at a time in UTC."""
    formats = {group.form.mode: group.form for group in findings.groups}
    titles = {form.title for form in formats.values()}
    return Document(
        title=titles.pop() if len(titles) == 1 else _TITLE,
        glossary=glossary([*formats.values()]),
        made=f"made {made_at:%Y-%m-%d %H:%M:%S} UTC",
        sections=tuple(_section(number, group, findings) for number, group in enumerate(findings.groups, 1)),
        notes=findings.notes,
    )


def _section(number: int, group: Group, findings: Findings) -> Section:
    alike = any(other.heading == group.heading for other in findings.groups[: number - 1])
    return Section(
        number=number,
        of=len(findings.groups),
        group=group,
        glance=f"{at_a_glance(group)}; differs from {group.apart}" if alike else at_a_glance(group),
        overview=overview(group, findings),
        key_findings=key_findings(group),
        verdicts=tuple(verdict_rows(group)),
        verdict_headers=verdict_headers(group),
        alerts=tuple(KeyFinding(case.case, alert) for case in group.cases for alert in case.alerts),
        tables=tuple(_tables(group)),
    )


def _tables(group: Group) -> Iterator[Table]:
    if described := [case for case in group.cases if case.other_side and case.other_side.beside]:
        yield _table(
            "What else was seen of both sides",
            "Before → after, on the launches of the A/B.",
            beside_columns(described),
            described,
        )
    figures = figure_columns(group.form)
    yield _table("Figures", "Of the whole world; memory is that of the largest rank.", figures, group.cases)
    several = [case for case in group.cases if case.gpus > 1]
    if any(case.time_lost for case in several):
        yield _table("Losses", _LOSSES, LOSSES, several)
    if profiled := [case for case in group.cases if case.profile]:
        yield _table("Profiles", _PROFILES, profile_columns(profiled), profiled)
    latencies = latency_columns(group.form)
    if len(latencies) > 1:
        yield _table("Latencies", "Milliseconds: mean / p50 / p95 / p99.", latencies, group.cases)
    meanwhile = _table(
        "What the machine did meanwhile",
        "Means over the timed rounds.",
        meanwhile_columns(group.form),
        group.cases,
    )
    if len(meanwhile.columns) > 1:
        yield meanwhile
    yield _table("Sources", "Where each case's figures are saved.", SOURCES, group.cases)


def _table(title: str, about: str, columns: Sequence[Column], cases: Sequence[CaseFigures]) -> Table:
    """Without the columns that no case has anything for; ``about`` goes on with why, and with what the others say."""
    reasons: dict[str, list[str]] = {}
    shown = []
    for column in columns:
        whys = [case.why_missing(column.figure) for case in cases]
        if all(whys):
            reasons.setdefault(", ".join(dict.fromkeys(whys)), []).append(column.header)
        elif any(column.cell(case) for case in cases):
            shown.append(column)
    sentences = [about, *(column.says for column in shown if column.says)]
    sentences += [column.beyond for column in shown if column.beyond and _goes_beyond(column, cases)]
    if reasons:
        said = "; ".join(f"{', '.join(headers)} ({why})" for why, headers in reasons.items())
        sentences.append(f"Not shown, because no case has it: {said}.")
    return Table(title, " ".join(sentences), tuple(shown), tuple(cases))


def _goes_beyond(column: Column, cases: Sequence[CaseFigures]) -> bool:
    figures = [case.share(column.figure) for case in cases if column.figure]
    return any(figure is not None and figure > 1 for figure in figures)
