"""The files of a report: what each is called, and what an earlier report may have left of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path

from pytest_gpt_dist.report.charts.canvas import DARK, LIGHT, Chart
from pytest_gpt_dist.report.charts.charts import charts
from pytest_gpt_dist.report.charts.legend import swatches
from pytest_gpt_dist.report.findings import Findings
from pytest_gpt_dist.report.folder import File, replace_files
from pytest_gpt_dist.report.markdown import markdown_report
from pytest_gpt_dist.report.page import Picture, Undrawn, page
from pytest_gpt_dist.report.sections import Section, compose
from pytest_gpt_dist.report.spreadsheet import summary_csv
from pytest_gpt_dist.report.text import text_report

_DATED = re.compile(r"comprehensive_performance_report_\d{8}_\d{6}\.md")
_NUMBER = re.compile(r"_\d+$")

Told = Callable[[int, int], None]
"""Told how many pictures are drawn, and of how many."""


def write_report(
    findings: Findings,
    folder: Path,
    made_at: datetime,
    further: Sequence[File] = (),
    told: Told = lambda drawn, of: None,
) -> list[Path]:
    """Write every file of a report made at a time in UTC in place of those of an earlier one; the paths.

    ``further`` files are written with them. Nothing is written before all of it is made. UsageError where the folder
    cannot be written.
    """
    document = compose(findings, made_at)
    by_section = [charts(section.group) for section in document.sections]
    files = [*further]
    pictures = []
    total = sum(not chart.why_empty for its_charts in by_section for chart in its_charts)
    for section, its_charts in zip(document.sections, by_section, strict=True):
        its_pictures: list[Picture | Undrawn] = []
        for chart in its_charts:
            if chart.why_empty:
                its_pictures.append(Undrawn(chart.title, chart.why_empty))
                continue
            told(len(files) - len(further), total)
            file, picture = _drawn(section, chart)
            files.append(file)
            its_pictures.append(picture)
        pictures.append(its_pictures)
    files += [
        File("performance_summary.csv", summary_csv(findings).encode()),
        File("performance_report.txt", text_report(document).encode()),
        File(
            f"comprehensive_performance_report_{made_at:%Y%m%d_%H%M%S}.md",
            markdown_report(document, by_section).encode(),
        ),
        File("report.html", page(document, pictures, swatches(by_section)).encode()),
    ]
    chart_names = {chart.name for its_charts in by_section for chart in its_charts}
    return replace_files(folder, files, lambda name: _is_of_a_report(name, chart_names))


def _drawn(section: Section, chart: Chart) -> tuple[File, Picture]:
    """Return a chart's file, and its picture for the page."""
    light, dark = chart.draw(LIGHT), chart.draw(DARK)
    return (
        File(f"{chart.name}{section.suffix}.png", light.whole),
        Picture(chart.title, chart.caption, light.plots, dark.plots),
    )


def _is_of_a_report(name: str, chart_names: Collection[str]) -> bool:
    """Whether an earlier report may have left such a file: dated Markdown, or a chart of any group."""
    is_chart = name.endswith(".png") and _NUMBER.sub("", name.removesuffix(".png")) in chart_names
    return is_chart or _DATED.fullmatch(name) is not None
