"""What every written report consists of, in its order; the writers differ in markup alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pytest_gpt_dist.report.answer import KeyFinding, key_findings
from pytest_gpt_dist.report.columns import (
    FIGURES,
    LATENCIES,
    LOSSES,
    SOURCES,
    Column,
    VerdictRow,
    verdict_rows,
)
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Findings, Group

TITLE = "Performance of distributed GPT inference"
_LOSSES = (
    "What became of the ranks' time: shares that make up the whole."
    " Other is below 0 where ranks do their share faster than one device would."
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
    """All that is said of one group; ``suffix`` ends the names of its files."""

    number: int
    group: Group
    key_findings: tuple[KeyFinding, ...]
    verdicts: tuple[VerdictRow, ...]
    alerts: tuple[KeyFinding, ...]
    tables: tuple[Table, ...]

    @property
    def suffix(self) -> str:
        """Empty for the first group."""
        return "" if self.number == 1 else f"_{self.number}"


@dataclass(frozen=True)
class Document:
    """A report before it is written in some format."""

    made: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def compose(findings: Findings, made_at: datetime) -> Document:
    """The sections of a report made at a time in UTC."""
    return Document(
        made=f"made {made_at:%Y-%m-%d %H:%M:%S} UTC",
        sections=tuple(_section(number, group, findings) for number, group in enumerate(findings.groups, 1)),
        notes=findings.notes,
    )


def _section(number: int, group: Group, findings: Findings) -> Section:
    several = tuple(case for case in group.cases if case.gpus > 1)
    return Section(
        number=number,
        group=group,
        key_findings=key_findings(group, len(findings.failed), len(findings.left_out)),
        verdicts=tuple(verdict_rows(group)),
        alerts=tuple(KeyFinding(case.case, alert) for case in group.cases for alert in case.alerts),
        tables=(
            Table("Figures", "Of the whole world; memory is that of the largest rank.", FIGURES, group.cases),
            *([Table("Losses", _LOSSES, LOSSES, several)] if several else []),
            Table("Latencies", "Milliseconds: mean / p50 / p95 / p99.", LATENCIES, group.cases),
            Table("Sources", "Where each case's figures are saved.", SOURCES, group.cases),
        ),
    )
