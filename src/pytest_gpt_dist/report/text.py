"""The report as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

from pytest_gpt_dist.report.columns import VERDICT_HEADERS
from pytest_gpt_dist.report.sections import GROUPS, TITLE, Document, Section, Table
from pytest_gpt_dist.results.table import table


def text_report(document: Document) -> str:
    """Readable in any terminal."""
    return "\n\n".join(_parts(document)) + "\n"


def _parts(document: Document) -> Iterator[str]:
    yield f"{TITLE}\n{document.made}"
    if len(document.sections) > 1:
        yield _listed(GROUPS, [f"{each.heading}: {each.glance}" for each in document.sections])
    for section in document.sections:
        yield from _section(section)
    if document.notes:
        yield _listed("Notes", document.notes)


def _section(section: Section) -> Iterator[str]:
    group = section.group
    ruler = "=" * len(section.heading)
    about = f"{group.machine} · {group.dates}"
    yield "\n".join(filter(None, (section.heading, ruler, about, section.apart)))
    yield _listed("Key findings", [f"{finding.about}: {finding.text}" for finding in section.key_findings])
    if section.verdicts:
        rows = [astuple(row) for row in section.verdicts]
        yield "Verdicts\n" + table(rows, VERDICT_HEADERS)
    if section.alerts:
        yield _listed("Alerts", [f"{alert.about}: {alert.text}" for alert in section.alerts])
    for part in section.tables:
        yield f"{part.title}. {part.about}\n{_table(part)}"
    if group.gaps:
        yield _listed("What is missing", group.gaps)


def _listed(title: str, lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _table(part: Table) -> str:
    return table(
        [[cell.text for cell in row] for row in part.rows],
        headers=[column.header for column in part.columns],
        align=[column.align for column in part.columns],
    )
