"""--gpt-report: the report that a session leaves."""

import csv
import gzip
import json
import re
from pathlib import Path

import pytest

from plugin.sessions import TINY, Session, error_line, run_python, run_session
from pytest_gpt_dist.cli import main
from pytest_gpt_dist.installation import install_extra
from pytest_gpt_dist.report import folder as report_folder
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

@pytest.mark.xfail
def test_known(gpt_dist):
    raise AssertionError("known")
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
    flags = (
        *fast,
        "--gpt-report=out",
        "--gpt-baseline",
        "--gpt-profile=traces",
        "--benchmark-json=saved.json",
    )
    return run_session(tmp_path_factory.mktemp("report"), {"test_cases.py": CASES}, *TINY, *flags)


def test_the_session_says_where_its_report_is(session: Session) -> None:
    assert session.status == 1
    assert "gpt-dist report: 13 files in " in session.output, session.output
    assert (session.folder / "out" / "report.html").is_file()


def test_the_report_has_the_case_its_verdict_and_the_file_that_it_is_saved_in(session: Session) -> None:
    row, _ = csv.DictReader((session.folder / "out" / "performance_summary.csv").read_text().splitlines())
    assert row["test"] == "test_cases.py::test_case"
    assert float(row["tokens_per_s"]) > 0
    assert row["file"] == "results.json"
    assert row["verdicts"] == "seconds_per_token no-baseline"


def test_the_report_keeps_the_session_with_its_series_and_other_commands_read_it(
    session: Session, tmp_path: Path
) -> None:
    path = session.folder / "out" / "results.json"
    saved = json.loads(path.read_text())
    cases = {entry["name"]: entry for entry in saved["benchmarks"]}
    assert set(cases) == {"test_case", "test_slow"}
    for entry in cases.values():
        (series,) = entry["extra_info"]["telemetry"]["series"]
        times = [reading["at_s"] for reading in series["readings"]]
        assert times == sorted(times)
        assert times[-1] > 0
        assert len(entry["stats"]["data"]) == entry["stats"]["rounds"]
    assert [verdict["kind"] for verdict in saved["gpt_dist"]["verdicts"]].count("no-baseline") >= 1
    assert main(["report", str(path), "--output", str(tmp_path / "again")]) == 0
    compared = run_python(session.folder, "-m", "pytest_benchmark", "compare", str(path))
    assert compared.returncode == 0, compared.stdout
    assert "test_slow" in compared.stdout


def test_a_profiled_round_has_a_trace_of_each_rank_its_phases_and_its_largest_operators(
    session: Session,
) -> None:
    saved = json.loads((session.folder / "out" / "results.json").read_text())
    profiles = {entry["name"]: entry["extra_info"]["profile"] for entry in saved["benchmarks"]}
    assert {name: len(profile["traces"]) for name, profile in profiles.items()} == {
        "test_case": 1,
        "test_slow": 2,
    }
    divided = profiles["test_slow"]
    for rank, trace in enumerate(divided["traces"]):
        assert Path(trace).is_relative_to(session.folder / "traces")
        with gzip.open(trace) as file:
            names = {event.get("name") for event in json.load(file)["traceEvents"]}
        assert {"phase: prefill", "phase: decode", "c10d::allreduce_"} <= names, rank
    assert {"prefill", "decode", "communication"} <= divided["phases"].keys()
    assert sum(divided["phases"].values()) == pytest.approx(1)
    assert all(len(each["seconds"]) == 2 for each in divided["operators"])
    assert "Profile of test_slow: " in session.output
    assert "\nProfiles. Shares of " in (session.folder / "out" / "performance_report.txt").read_text()


def test_the_figures_of_the_report_are_those_of_the_session_in_its_folder(session: Session) -> None:
    folder = session.folder / "out"
    saved = json.loads((folder / "results.json").read_text())
    told = {entry["fullname"]: entry["extra_info"]["tokens_per_s"] for entry in saved["benchmarks"]}
    rows = list(csv.DictReader((folder / "performance_summary.csv").read_text().splitlines()))
    assert {row["test"]: float(row["tokens_per_s"]) for row in rows} == told
    assert {row["saved_at"] for row in rows} == {saved["datetime"]}


def test_the_report_says_what_the_divided_case_lost(session: Session) -> None:
    alone, divided = csv.DictReader(
        (session.folder / "out" / "performance_summary.csv").read_text().splitlines()
    )
    assert float(alone["time_lost_communication"]) == 0
    assert 0 < float(divided["time_lost_communication"]) < 1
    text = (session.folder / "out" / "performance_report.txt").read_text()
    assert "Largest measured loss: test_slow loses " in text


def test_tests_without_figures_are_named_with_the_reason(session: Session) -> None:
    text = (session.folder / "out" / "performance_report.txt").read_text()
    assert "no figures (failed: Failed: unknown strategy 'no such strategy': there are " in text
    assert "no figures (failed as expected: AssertionError: known): test_cases.py::test_known" in text
    assert "no figures (Skipped: not today): test_cases.py::test_skipped" in text
    assert "no figures (ran no case): test_cases.py::test_idle" in text


def test_what_the_answer_is_without_stands_at_its_top(session: Session) -> None:
    text = (session.folder / "out" / "performance_report.txt").read_text()
    badges = text[text.index("Before you believe it") : text.index("Further findings")]
    assert "  1 failed: " in badges
    assert "  3 left out: " in badges
    assert re.search(r"  1 failed later: .*slow", badges)


def test_the_report_opens_with_the_words_that_the_session_ends_with(session: Session) -> None:
    heading, opening, *_ = (session.folder / "out" / "performance_report.txt").read_text().split("\n\n")[1:]
    assert "tiny" in heading
    assert f"\n{opening.splitlines()[0]}\n" in session.output


def test_a_missing_library_is_said_before_the_session_begins(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_folder, "NEEDED", ("no_such_library",))
    pytester.makepyfile(CASE)
    line = error_line(pytester.runpytest_inprocess("--gpt-report=out"))
    assert line == f"--gpt-report needs no_such_library: {install_extra('report')}"


def test_a_file_where_the_folder_should_be_is_said_before_the_session_begins(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(CASE)
    Path(pytester.path / "out").touch()
    line = error_line(pytester.runpytest_inprocess("--gpt-report=out"))
    assert line.endswith("out is a file: give a folder")


@pytest.mark.parametrize("folder", ["file/sub", "/proc/report", "x" * 300])
def test_a_folder_that_cannot_be_written_is_said_before_anything_is_collected(
    pytester: pytest.Pytester, folder: str
) -> None:
    pytester.makepyfile("raise RuntimeError('collected')")
    Path(pytester.path / "file").touch()
    line = error_line(pytester.runpytest_inprocess(f"--gpt-report={folder}"))
    assert line.startswith("--gpt-report: ")
    assert f"{folder} cannot be written: " in line


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
