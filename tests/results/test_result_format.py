"""The metric registry: what follows from one entry."""

from __future__ import annotations

import csv
import importlib
import io
from dataclasses import replace

import pytest
from docs.generate import saved_keys_page

from made_case import CASE, ONE_CORE, inference_mode
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.messages import RankReport
from pytest_gpt_dist.inference.mode import Checked
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.envelope import make_result
from pytest_gpt_dist.measure.result import Launch
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.markdown import markdown_report
from pytest_gpt_dist.report.sections import compose
from pytest_gpt_dist.report.spreadsheet import summary_csv
from pytest_gpt_dist.report.table import Row, render
from pytest_gpt_dist.results import result_format
from pytest_gpt_dist.results.metrics import Metric
from pytest_gpt_dist.results.result_format import ResultFormat, format_of, known_formats
from pytest_gpt_dist.results.saved import SavedCase
from saved_cases import MADE_AT, saved_case

INFERENCE = format_of({"mode": "inference"})
ADDED = Metric(
    name="rounds_timed",
    unit="rounds",
    kind="figure",
    label="timed rounds",
    form="{:.0f}",
    summary=True,
    meaning="how many there were",
    value=lambda run: float(run.rounds),
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> ResultFormat:
    """Generation with one metric more."""
    form = replace(INFERENCE, metrics=(*INFERENCE.metrics, ADDED))
    module = importlib.import_module("pytest_gpt_dist.inference.result_format")
    monkeypatch.setattr(module, "INFERENCE", form)
    return form


@pytest.fixture
def measured(added: ResultFormat) -> SavedCase:
    mode = inference_mode()
    mode.format = added
    rounds = (Round(2.0, ((BatchTimes(((0,),), ((1.0, 2.0),)),),)),) * 3
    launch = Launch((RankReport(None, 8, peak_memory_bytes=100),), rounds, [[1, 2]], None)
    info = make_result(mode, CASE, ONE_CORE, Checked(None, compared=True), [launch], warmup=0).extra_info
    return SavedCase("saved.json", "b.py::test_x[1gpu]", MADE_AT.isoformat(), info)


def test_a_metric_is_saved_by_one_entry(measured: SavedCase) -> None:
    assert measured.info["rounds_timed"] == 3


def test_a_metric_is_in_the_table_of_a_session_by_one_entry(measured: SavedCase) -> None:
    header, *_ = (line for line in render([Row("x", measured.info)]).splitlines() if "tokens/s" in line)
    assert "timed rounds" in header


def test_a_metric_is_in_reports_and_their_glossary_by_one_entry(measured: SavedCase) -> None:
    document = compose(find([measured]), MADE_AT)
    (figures,) = (table for table in document.sections[0].tables if table.title == "Figures")
    place = [column.header for column in figures.columns].index("timed rounds")
    assert figures.rows[0][place].text == "3"
    assert ("timed rounds", "how many there were") in document.glossary
    assert "timed rounds" in markdown_report(document, [[]])


def test_a_metric_is_a_column_of_the_spreadsheet_by_one_entry(measured: SavedCase) -> None:
    (row,) = csv.DictReader(io.StringIO(summary_csv(find([measured]))))
    assert float(row["rounds_timed"]) == 3


def test_a_metric_is_documented_by_one_entry(added: ResultFormat) -> None:
    assert "| `rounds_timed` | rounds | how many there were |" in saved_keys_page()


def test_what_was_saved_before_there_was_a_metric_says_so(added: ResultFormat) -> None:
    (case,) = find([saved_case()]).groups[0].cases
    assert case.why_missing("rounds_timed") == "not saved by an earlier version"


def test_every_key_has_one_entry() -> None:
    for form in known_formats():
        names = [metric.name for metric in form.metrics]
        assert len(names) == len(set(names)), form.mode


def test_a_mode_that_is_not_known_is_said() -> None:
    with pytest.raises(ValueError, match="mode 'dreaming', which is not known here: there are "):
        format_of({"mode": "dreaming"})


def test_a_format_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_format, "_PATHS", {"lost": "nowhere:LOST"})
    with pytest.raises(UsageError) as raised:
        format_of({"mode": "lost"})
    assert str(raised.value) == (
        "results of mode 'lost': cannot load nowhere:LOST: No module named 'nowhere'"
    )
