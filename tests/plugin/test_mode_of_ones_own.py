"""A mode that a conftest.py adds: its cases run through the plugin as those of inference do."""

import csv
import json
from pathlib import Path

import pytest

from plugin.sessions import TESTS, Session, error_line, run_session
from pytest_gpt_dist.results import result_format
from repositories import git

CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_mode("sorting", "sorting:SortingMode", "sorting:SORTING")
    registry.add_mode("broken", "sorting:sort", "sorting:SORTING")
"""
CASES = """\
import pytest

@pytest.mark.gpt_dist_matrix(mode="sorting")
def test_matrix(gpt_dist, gpus, strategy, engine):
    assert gpt_dist.measure("sorting").layout.world_size == gpus

@pytest.mark.gpt_dist(numbers=(2, 3, 1), min_effect=0.5)
def test_marked(gpt_dist):
    assert gpt_dist.measure("sorting").extra_info["fingerprint"]["numbers"] == [2, 3, 1]

def test_skipped(gpt_dist):
    gpt_dist.measure("sorting", numbers=range(9))

def test_wrong_result(gpt_dist):
    gpt_dist.measure("sorting", numbers=(4, 5))

def test_wrong_argument(gpt_dist):
    gpt_dist.measure("sorting", number=(4, 5))

def test_unknown(gpt_dist):
    gpt_dist.measure("sortin")

def test_broken(gpt_dist):
    gpt_dist.measure("broken")
"""
STOP = "\ndef test_stop():\n    raise KeyboardInterrupt\n"
HERE = ("--gpt-device=cpu", "--gpt-gpus=2", "--gpt-rounds=3", "--gpt-data-parallel=2")
MATRIX = "test_matrix[2gpu-dp2pp1tp1-sorted]"
FILES = {
    "conftest.py": CONFTEST,
    "sorting.py": (TESTS / "made_mode.py").read_text(),
    "test_sorting.py": CASES + STOP,
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A timed session that is interrupted after its last case."""
    return run_session(tmp_path_factory.mktemp("sorting"), FILES, *HERE, "--benchmark-autosave")


@pytest.fixture(scope="module")
def resumed(stopped: Session) -> Session:
    """The same session once more, which takes from the journal what the first one had measured."""
    chosen = ("-k", "matrix or marked", "--gpt-resume", "--benchmark-json=again.json")
    return run_session(stopped.folder, FILES | {"test_sorting.py": CASES}, *HERE, *chosen)


def test_cases_are_timed_and_saved_with_their_mode(stopped: Session) -> None:
    assert set(stopped.benchmarks) == {MATRIX, "test_marked"}, stopped.output
    info = stopped.info(MATRIX)
    assert info["mode"] == "sorting"
    assert info["unit"] == "seconds per sorted list"
    assert info["lists_per_s"] == pytest.approx(4)
    assert f"::{MATRIX} · sorted · dp2pp1tp1 · lists" in info["series"]
    assert stopped.benchmarks[MATRIX]["stats"]["data"] == pytest.approx([0.25] * 3)
    assert info["speedup"] == 2


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("test_skipped", "skipped", "too many numbers to sort"),
        ("test_wrong_result", "failure", "not sorted"),
        ("test_wrong_argument", "failure", "unknown argument 'number': did you mean numbers"),
        ("test_unknown", "failure", "unknown mode 'sortin': did you mean sorting?"),
        ("test_broken", "failure", "mode 'broken': cannot be made: "),
    ],
)
def test_what_has_no_number_says_why_in_a_line(stopped: Session, name: str, outcome: str, said: str) -> None:
    test = stopped.tests[name]
    assert test.outcome == outcome
    assert test.said.startswith(said)
    assert len(test.said.splitlines()) == 1


def test_a_journal_gives_back_a_result_of_its_mode(resumed: Session) -> None:
    assert resumed.status == 0, resumed.output
    saved = json.loads((resumed.folder / "again.json").read_text())["benchmarks"]
    assert [entry["extra_info"]["resumed"] for entry in saved] == [True, True]
    assert "resumed" in resumed.output


def test_the_table_has_the_columns_of_the_mode(stopped: Session) -> None:
    header = next(line for line in stopped.output.splitlines() if "lists/s" in line and "case" in line)
    assert "numbers" in header
    assert "tokens" not in stopped.output


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session that measures its case in turns with the revision before, and writes a report."""
    folder = tmp_path_factory.mktemp("compared")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=sorting")
    chosen = ("-k", "marked", "--gpt-against=HEAD", "--gpt-gate=longest", "--gpt-report=report")
    return run_session(
        folder, FILES | {"test_sorting.py": CASES}, *HERE, *chosen, "--benchmark-json=out.json"
    )


def test_both_sides_are_judged_by_the_gates_of_the_mode(compared: Session) -> None:
    assert compared.status == 0, compared.output
    verdicts = json.loads((compared.folder / "out.json").read_text())["gpt_dist"]["verdicts"]
    assert {verdict["metric"]: verdict["kind"] for verdict in verdicts} == {
        "seconds_per_list": "unchanged",
        "longest_s": "unchanged",
    }
    assert "before and after: lists/s (median)" in compared.output


def test_a_report_speaks_of_the_mode(compared: Session) -> None:
    report = (compared.folder / "report" / "performance_report.txt").read_text()
    assert report.startswith("Performance of sorting\n")
    assert "lists/s (mean)" in report
    table = (compared.folder / "report" / "performance_summary.csv").read_text()
    (row,) = csv.DictReader(table.splitlines())
    assert (row["mode"], row["numbers"], row["pause_mean_s"]) == ("sorting", "3.0", "0.001")
    assert "token" not in report


def test_an_untimed_case_is_checked(tmp_path: Path) -> None:
    chosen = ("-k", "matrix or wrong_result", "--benchmark-disable")
    session = run_session(tmp_path, FILES | {"test_sorting.py": CASES}, *HERE, *chosen)
    assert session.tests[MATRIX].outcome == "passed", session.output
    assert session.tests["test_wrong_result"].said == "not sorted"


@pytest.mark.parametrize(
    ("marker", "said"),
    {
        "mode='sortin'": "unknown mode 'sortin': did you mean sorting?",
        "mode=3": "mode=3: expected the name of a mode",
        "4": 'marker gpt_dist_matrix takes the name of a mode only, such as mode="inference"; got (4,)',
    }.items(),
)
def test_a_wrong_marker_of_a_matrix_ends_the_session_in_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, marker: str, said: str
) -> None:
    known = dict(result_format._PATHS)  # the session is in this process, and registers its mode here
    monkeypatch.setattr(result_format, "_PATHS", known)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.gpt_dist_matrix({marker})\n"
        "def test_case(gpt_dist, gpus, strategy, engine): pass\n"
    )
    assert error_line(pytester.runpytest_inprocess("--gpt-device=cpu")) == said
