"""--gpt-report: the report that a session leaves."""

import csv
from pathlib import Path

import pytest

from plugin.sessions import TINY, Session, error_line, run_session
from pytest_gpt_dist.report import libraries
from saved_cases import saved_case

CASES = """\
import pytest

def test_case(gpt_dist):
    gpt_dist.run()

def test_slow(gpt_dist):
    assert gpt_dist.run(gpus=2, strategy="tensor_data_hybrid").tokens_per_s < 0

def test_wrong(gpt_dist):
    gpt_dist.run(strategy="no such strategy")

def test_skipped(gpt_dist):
    pytest.skip("not today")

def test_idle(gpt_dist):
    pass
"""
CASE = "def test_case(gpt_dist): pass"
# What a case would have saved, without any ranks.
SAVES = f"""\
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        report.gpt_dist = {saved_case().info!r}
    return report
"""
FAULT = """\
from pytest_gpt_dist.report import findings

def find(*args, **kwargs):
    raise RuntimeError("torn\\nhere")

findings.find = find
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session in which warnings are errors, a case is measured twice, and three tests leave no figures."""
    fast = ("--gpt-device=cpu", "--gpt-rounds=1", "--gpt-warmup=0")
    flags = (*fast, "--gpt-report=out", "--gpt-baseline", "--benchmark-json=saved.json")
    return run_session(tmp_path_factory.mktemp("report"), {"test_cases.py": CASES}, *TINY, *flags)


def test_the_session_says_where_its_report_is(session: Session) -> None:
    assert session.status == 1
    assert "gpt-dist report: 12 files in " in session.output, session.output
    assert (session.folder / "out" / "report.html").is_file()


def test_the_report_has_the_case_its_verdict_and_the_file_that_it_is_saved_in(session: Session) -> None:
    row, _ = csv.DictReader((session.folder / "out" / "performance_summary.csv").read_text().splitlines())
    assert row["test"] == "test_cases.py::test_case"
    assert float(row["tokens_per_s"]) > 0
    assert row["file"] == "saved.json"
    assert row["verdicts"] == "seconds_per_token no-baseline"


def test_the_report_says_what_the_divided_case_lost(session: Session) -> None:
    alone, divided = csv.DictReader(
        (session.folder / "out" / "performance_summary.csv").read_text().splitlines()
    )
    assert float(alone["lost_communication"]) == 0
    assert 0 < float(divided["lost_communication"]) < 1
    text = (session.folder / "out" / "performance_report.txt").read_text()
    assert "Largest loss: test_slow loses " in text


def test_tests_without_figures_are_named_with_the_reason(session: Session) -> None:
    text = (session.folder / "out" / "performance_report.txt").read_text()
    assert "no figures (failed): test_cases.py::test_wrong" in text
    assert "no figures (Skipped: not today): test_cases.py::test_skipped" in text
    assert "no figures (ran no case): test_cases.py::test_idle" in text


def test_what_the_answer_is_without_stands_at_its_top(session: Session) -> None:
    text = (session.folder / "out" / "performance_report.txt").read_text()
    assert "Not in this answer: 1 failed, 2 left out" in text
    assert "Measured, then failed: test_slow" in text


def test_a_missing_library_is_said_before_the_session_begins(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "NEEDED", ("no_such_library",))
    pytester.makepyfile(CASE)
    line = error_line(pytester.runpytest_inprocess("--gpt-report=out"))
    assert line == "--gpt-report needs no_such_library: pip install 'pytest-gpt-dist[report]'"


def test_a_file_where_the_folder_should_be_is_said_before_the_session_begins(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(CASE)
    Path(pytester.path / "out").touch()
    line = error_line(pytester.runpytest_inprocess("--gpt-report=out"))
    assert line.endswith("out is a file: give a folder")


def test_a_report_of_no_times_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CASE)
    line = error_line(pytester.runpytest_subprocess("--gpt-report=out", "--benchmark-disable"))
    assert line == "--gpt-report needs times, and there are none: --benchmark-disable"


def test_a_session_without_cases_leaves_no_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("--gpt-report=out")
    assert result.ret == pytest.ExitCode.OK
    assert not (pytester.path / "out").exists()


def test_a_session_that_measured_nothing_says_that_there_is_no_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\ndef test_case(gpt_dist): pytest.skip('no')")
    result = pytester.runpytest_subprocess("--gpt-report=out", "--gpt-device=cpu")
    result.stdout.fnmatch_lines(["gpt-dist report: nothing was measured, so nothing was written"])
    assert not (pytester.path / "out").exists()


def test_a_report_that_cannot_be_written_fails_the_session_in_a_line(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SAVES)
    pytester.makepyfile("import pathlib\ndef test_case(gpt_dist): pathlib.Path('out').touch()")
    result = pytester.runpytest_subprocess("--gpt-report=out", "--gpt-device=cpu")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["gpt-dist report: */out cannot be written: File exists; choose another folder"]
    )


def test_a_fault_of_the_report_is_one_line_and_the_table_is_shown(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"{SAVES}\n{FAULT}")
    pytester.makepyfile(CASE)
    result = pytester.runpytest_subprocess("--gpt-report=out", "--gpt-device=cpu")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*- gpt-dist -*", "gpt-dist report: not written: RuntimeError: torn"])
    result.stdout.no_fnmatch_line("*Traceback*")
