"""The report as Markdown; whatever a text holds, it is shown as it is and never taken for markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from pytest_gpt_dist.report.charts.canvas import Chart
from pytest_gpt_dist.report.overview import Overview
from pytest_gpt_dist.report.sections import GROUPS, Document, Section, Table
from pytest_gpt_dist.results.table import table
from pytest_gpt_dist.results.text import escape, escape_line


def markdown_report(document: Document, charts: Sequence[Sequence[Chart]]) -> str:
    """Return a page whose pictures, ``charts`` by section, lie beside it."""
    return "\n\n".join(_parts(document, charts)) + "\n"


def _parts(document: Document, charts: Sequence[Sequence[Chart]]) -> Iterator[str]:
    yield f"# {document.title}"
    yield escape_line(document.made)
    if len(document.sections) > 1:
        yield f"{GROUPS}:"
        yield _listed([f"{section.heading}: {section.glance}" for section in document.sections])
    for section, its_charts in zip(document.sections, charts, strict=True):
        yield from _section(section, its_charts)
    if document.notes:
        yield "## Notes"
        yield _listed(document.notes)
    yield "## Glossary"
    yield "\n".join(f"- **{word}**: {meaning}" for word, meaning in document.glossary)


def _section(section: Section, charts: Sequence[Chart]) -> Iterator[str]:
    group = section.group
    yield f"## {escape(section.heading)}"
    yield escape_line(f"{group.machine} · {group.dates}")
    if section.apart:
        yield escape_line(section.apart)
    yield from _overview(section.overview)
    if section.named:
        yield escape_line(section.named)
    yield "### Further findings"
    yield "\n".join(
        f"- **{escape(finding.about)}**: {escape(finding.text)}" for finding in section.key_findings
    )
    if section.verdicts:
        yield "### Verdicts"
        yield table([astuple(row) for row in section.verdicts], section.verdict_headers, style="markdown")
    if section.alerts:
        yield "### Alerts"
        yield _listed([f"{alert.about}: {alert.text}" for alert in section.alerts])
    yield "### Charts"
    for chart in charts:
        if chart.why_empty:
            yield escape_line(f"{chart.title}: not drawn ({chart.why_empty})")
        else:
            yield f"![{chart.title}]({chart.name}{section.suffix}.png)"
    for part in section.tables:
        yield f"### {part.title}"
        yield escape_line(part.about)
        yield _table(part)
    if group.gaps:
        yield "### What is missing"
        yield _listed(group.gaps)


def _overview(seen: Overview) -> Iterator[str]:
    """Yield the answer, its figures, and what to know before believing it."""
    yield f"**{escape(seen.headline.text)}**"
    if seen.headline.why:
        yield escape_line(seen.headline.why)
    rows = [[card.name, card.value, card.note] for card in seen.cards]
    yield table(rows, ("figure", "value", "of what"), style="markdown")
    told = [
        (answer.wanted, f"{answer.text}{f' ({answer.why})' if answer.why else ''}") for answer in seen.answers
    ]
    told += [(badge.label, badge.meaning) for badge in seen.badges]
    if told:
        yield "\n".join(f"- **{escape(about)}**: {escape(text)}" for about, text in told)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape_line(line)}" for line in lines)


def _table(part: Table) -> str:
    return table(
        [[cell.text for cell in row] for row in part.rows],
        headers=[column.header for column in part.columns],
        align=[column.align for column in part.columns],
        style="markdown",
    )
