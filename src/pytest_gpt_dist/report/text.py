"""The report as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

from pytest_gpt_dist.report.sections import GROUPS, Document, Section, Table
from pytest_gpt_dist.results.table import table


def text_report(document: Document) -> str:
    """Readable in any terminal."""
    return "\n\n".join(_parts(document)) + "\n"


def _parts(document: Document) -> Iterator[str]:
    yield f"{document.title}\n{document.made}"
    if len(document.sections) > 1:
        yield _listed(GROUPS, [f"{each.heading}: {each.glance}" for each in document.sections])
    for section in document.sections:
        yield from _section(section)
    if document.notes:
        yield _listed("Notes", document.notes)


def _section(section: Section) -> Iterator[str]:
    group = section.group
    ruler = "=" * len(section.heading)
    seen = section.overview
    about = f"{group.machine} · {group.dates}"
    yield "\n".join(filter(None, (section.heading, ruler, about, section.apart)))
    yield "\n".join(filter(None, (seen.headline.text, seen.headline.why)))
    yield table([[card.name, card.value, card.note] for card in seen.cards], ("figure", "value", "of what"))
    if seen.answers:
        yield "\n".join(f"{answer.wanted}: {_because(answer.text, answer.why)}" for answer in seen.answers)
    if seen.badges:
        yield _listed("Before you believe it", [f"{badge.label}: {badge.meaning}" for badge in seen.badges])
    if section.named:
        yield section.named
    yield _listed(
        "Further findings", [f"{finding.about}: {finding.text}" for finding in section.key_findings]
    )
    if section.verdicts:
        rows = [astuple(row) for row in section.verdicts]
        yield "Verdicts\n" + table(rows, section.verdict_headers)
    if section.alerts:
        yield _listed("Alerts", [f"{alert.about}: {alert.text}" for alert in section.alerts])
    for part in section.tables:
        yield f"{part.title}. {part.about}\n{_table(part)}"
    if group.gaps:
        yield _listed("What is missing", group.gaps)


def _because(text: str, why: str) -> str:
    return f"{text} ({why})" if why else text


def _listed(title: str, lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _table(part: Table) -> str:
    return table(
        [[cell.text for cell in row] for row in part.rows],
        headers=[column.header for column in part.columns],
        align=[column.align for column in part.columns],
    )
