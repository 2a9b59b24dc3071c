"""The files of a report: what each is called, and how they come into a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.chart_canvas import DARK, LIGHT
from pytest_gpt_dist.report.charts import charts
from pytest_gpt_dist.report.findings import Findings
from pytest_gpt_dist.report.markdown import markdown_report
from pytest_gpt_dist.report.page import Picture, page
from pytest_gpt_dist.report.sections import compose
from pytest_gpt_dist.report.spreadsheet import summary_csv
from pytest_gpt_dist.report.text import text_report

_DATED = re.compile(r"comprehensive_performance_report_\d{8}_\d{6}\.md")
_NUMBERED = re.compile(r"(.+)_\d+\.png")


@dataclass(frozen=True)
class File:
    """A file before it is written."""

    name: str
    content: bytes


def write_report(findings: Findings, folder: Path, made_at: datetime) -> list[Path]:
    """Write every file of a report made at a time in UTC in place of those of an earlier one; the paths.

    Nothing is written before all of it is made. UsageError where the folder cannot be written.
    """
    files = list(_files(findings, made_at))
    written = []
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in _earlier(folder, {file.name for file in files}):
            path.unlink()
        for file in files:
            path = folder / file.name
            path.write_bytes(file.content)
            written.append(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another folder") from None
    return written


def _earlier(folder: Path, names: set[str]) -> list[Path]:
    """What an earlier report left and this one does not write over: dated Markdown, and charts of further groups."""
    return [
        path
        for path in folder.iterdir()
        if path.name not in names
        and (
            _DATED.fullmatch(path.name)
            or ((numbered := _NUMBERED.fullmatch(path.name)) and f"{numbered[1]}.png" in names)
        )
    ]


def _files(findings: Findings, made_at: datetime) -> Iterator[File]:
    document = compose(findings, made_at)
    by_section = [charts(section.group) for section in document.sections]
    pictures = [
        [Picture(chart.title, chart.caption, chart.png(LIGHT), chart.png(DARK)) for chart in its_charts]
        for its_charts in by_section
    ]
    for section, its_charts, its_pictures in zip(document.sections, by_section, pictures, strict=True):
        for chart, picture in zip(its_charts, its_pictures, strict=True):
            yield File(f"{chart.name}{section.suffix}.png", picture.light_png)
    markdown = f"comprehensive_performance_report_{made_at:%Y%m%d_%H%M%S}.md"
    yield File("performance_summary.csv", summary_csv(findings).encode())
    yield File("performance_report.txt", text_report(document).encode())
    yield File(markdown, markdown_report(document, by_section).encode())
    yield File("report.html", page(document, pictures).encode())
