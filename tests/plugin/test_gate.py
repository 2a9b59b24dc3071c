"""What a session does with verdicts: exit status, last line, saved block, JUnit, the summary of a CI job.

What was measured is given here, so that no clock decides; the hooks are those of a real session.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from plugin.sessions import TESTS, Session, run_session

RESULTS = json.loads((TESTS.parent / "scripts" / "results" / "inference_cpu.json").read_text())
ENTRIES: dict[str, Any] = RESULTS["benchmarks"][0]["extra_info"]

# Attaches to each test's report what a case would have saved, as the plugin itself does.
CONFTEST = """\
import json, pathlib, pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        report.gpt_dist = json.loads(pathlib.Path(f"{item.name}.json").read_text())
    return report

def pytest_gpt_dist_verdict(verdict):
    print("told of", verdict.case, verdict.kind)
"""


def figures(seconds_per_token: float) -> dict[str, float]:
    return {
        "seconds_per_token": seconds_per_token, "ttft_s": 0.01, "itl_p95_s": 0.002, "peak_memory_bytes": 2**20,
    }  # fmt: skip


def saved(ratio: float, *, problem: str | None = None) -> dict[str, Any]:
    """A case that takes ``ratio`` times as long as on the other side."""
    pairs = [
        {"before": figures(1.0), "after": figures(ratio * (1 + 0.001 * (number % 3)))} for number in range(12)
    ]
    screening = [] if problem else pairs[:4]
    against = {
        "problem": problem, "screening": screening, "confirmation": [] if abs(ratio - 1) < 0.01 else pairs,
        "null_control": [], "max_logit_error": 1e-7, "tokens_sha256": "x",
    }  # fmt: skip
    return {
        **ENTRIES,
        "against": against, "tokens_per_s": 1 / ratio, "max_logit_error": 1e-7, "tokens_sha256": "x",
    }  # fmt: skip


def judge(folder: Path, cases: dict[str, dict[str, Any]], *args: str) -> Session:
    for name, info in cases.items():
        (folder / f"{name}.json").write_text(json.dumps(info))
    tests = "".join(f"def {name}():\n    pass\n\n" for name in cases)
    files = {"conftest.py": CONFTEST, "test_cases.py": tests}
    return run_session(folder, files, "--gpt-against=HEAD", "-s", *args)


@pytest.fixture(scope="module")
def regressed(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
        cases = {"test_slower": saved(1.1), "test_same": saved(1.0), "test_faster": saved(0.9)}
        return judge(folder, cases)


def test_a_regression_fails_a_session_whose_tests_passed(regressed: Session) -> None:
    assert regressed.status == 1
    outcomes = {name: test.outcome for name, test in regressed.tests.items()}
    assert outcomes == dict.fromkeys(("test_slower", "test_same", "test_faster"), "passed")
    assert regressed.output.splitlines()[-1] == "gpt-dist: 1 regressed, which fails the session: test_slower"
    assert "Traceback" not in regressed.output


def test_each_verdict_is_sent_to_the_hook_once(regressed: Session) -> None:
    assert re.findall(r"told of test_cases.py::(\w+ \w+)", regressed.output) == [
        "test_slower regressed",
        "test_same unchanged",
        "test_faster improved",
    ]


def test_junit_has_the_verdicts_as_properties_of_the_suite(regressed: Session) -> None:
    junit = (regressed.folder / "junit.xml").read_text()
    assert '<property name="gpt_dist seconds_per_token test_cases.py::test_slower" value="regressed"' in junit


def test_the_summary_of_a_ci_job_is_appended_to(regressed: Session) -> None:
    summary = (regressed.folder / "summary.md").read_text()
    assert summary.startswith("### gpt-dist: 1 regressed, which fails the session: test_slower\n")
    assert "| test_slower" in summary


def test_improvements_alone_pass(tmp_path: Path) -> None:
    session = judge(tmp_path, {"test_faster": saved(0.9)})
    assert session.status == 0
    assert session.output.splitlines()[-1] == "gpt-dist: 1 improved"


def test_a_side_that_could_not_be_measured_is_no_baseline_with_the_reason(tmp_path: Path) -> None:
    session = judge(tmp_path, {"test_case": saved(1.0, problem="rank 0 died")})
    assert session.status == 0
    assert "the other side could not be measured: rank 0 died" in session.output


def test_an_unwritable_summary_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary.md"))
    session = judge(tmp_path, {"test_case": saved(1.0)})
    assert session.status == 0
    assert "the job summary was not written" in session.output


def test_a_gate_that_no_mode_has_is_one_line(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_inprocess("--gpt-against=HEAD", "--gpt-gate=ttft,memory")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(
        ["ERROR: --gpt-gate names ttft, memory: expected ttft, itl, step, operation, or several"]
    )
