"""Verdicts against saved sessions: what fails a session, and what cannot be compared."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from plugin.sessions import QUICK, SORTING, Session, run_session

CASES = """\
import pytest

def test_case(gpt_dist):
    gpt_dist.measure("sorting")

@pytest.mark.gpt_dist(min_effect=0.9)
def test_lenient(gpt_dist):
    gpt_dist.measure("sorting")
"""
CONFTEST = f"""{SORTING}
def pytest_gpt_dist_verdict(verdict):
    print("told of", verdict.case, verdict.kind)
"""
FILES = {"test_cases.py": CASES, "conftest.py": CONFTEST}
SAVING = ("--benchmark-autosave", "--benchmark-save-data")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session that had nothing to compare with."""
    return run_session(tmp_path_factory.mktemp("first"), FILES, *QUICK, *SAVING, "--gpt-baseline")


@pytest.fixture
def storage(first: Session, tmp_path: Path) -> Path:
    """A storage outside of the session's folder, with the first session's file in it."""
    return copied(first, tmp_path)


def copied(first: Session, folder: Path) -> Path:
    return Path(shutil.copytree(first.folder / ".benchmarks", folder / "storage"))


def scale(storage: Path, factor: float, **fingerprint: Any) -> None:
    """Make a saved session another one: times by a factor, and other entries of the fingerprint."""
    (file,) = storage.rglob("*.json")
    saved = json.loads(file.read_text())
    for benchmark in saved["benchmarks"]:
        info = benchmark["extra_info"]
        info["launches"] = [[factor * sample for sample in samples] for samples in info["launches"]]
        info["fingerprint"] |= fingerprint
    file.write_text(json.dumps(saved))


def judge(tmp_path: Path, storage: Path, *args: str) -> Session:
    folder = tmp_path / "second"
    folder.mkdir()
    where = f"--benchmark-storage=file://{storage}"
    return run_session(
        folder, FILES, *QUICK, where, "--gpt-baseline", "--benchmark-json=out.json", "-s", *args
    )


def kinds(session: Session) -> dict[str, str]:
    saved = json.loads((session.folder / "out.json").read_text())
    return {verdict["case"]: verdict["kind"] for verdict in saved["gpt_dist"]["verdicts"]}


def test_nothing_to_compare_with_is_said_and_passes(first: Session) -> None:
    assert first.status == 0, first.output
    assert first.output.splitlines()[-1] == (
        "gpt-dist: 2 no-baseline, so nothing was compared: no saved session has this case; "
        "save this session for the next one to compare with (--benchmark-autosave)"
    )


def test_nothing_to_compare_with_can_be_made_a_failure(tmp_path: Path) -> None:
    session = judge(tmp_path, tmp_path / "empty", "--gpt-require-baseline")
    assert session.status == 1
    assert (
        "2 without a baseline, which --gpt-require-baseline makes a failure"
        in session.output.splitlines()[-1]
    )


@pytest.fixture(scope="module")
def regressed(first: Session, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session that takes a thousand times as long as the first one did."""
    folder = tmp_path_factory.mktemp("regressed")
    storage = copied(first, folder)
    scale(storage, 1 / 1000)
    return judge(folder, storage)


def test_a_regression_fails_the_session_without_a_traceback(regressed: Session) -> None:
    assert regressed.status == 1
    assert kinds(regressed) == {
        "test_cases.py::test_case": "regressed",
        "test_cases.py::test_lenient": "regressed",
    }
    assert regressed.output.splitlines()[-1].startswith(
        "gpt-dist: 2 regressed, which fails the session: test_case"
    )
    assert "Traceback" not in regressed.output
    assert "told of test_cases.py::test_case regressed" in regressed.output


def test_a_cases_own_least_effect_holds(regressed: Session) -> None:
    saved = json.loads((regressed.folder / "out.json").read_text())
    detectable = {verdict["case"]: verdict["detectable"] for verdict in saved["gpt_dist"]["verdicts"]}
    assert detectable["test_cases.py::test_lenient"] >= 0.9


def test_an_improvement_never_fails(tmp_path: Path, storage: Path) -> None:
    scale(storage, 1000)
    session = judge(tmp_path, storage)
    assert session.status == 0, session.output
    assert set(kinds(session).values()) == {"improved"}


def test_another_machine_is_no_baseline_and_the_keys_are_named(tmp_path: Path, storage: Path) -> None:
    scale(storage, 1 / 1000, cores=64)
    session = judge(tmp_path, storage)
    assert session.status == 0, session.output
    assert set(kinds(session).values()) == {"no-baseline"}
    assert "saved sessions differ in cores" in session.output


def test_a_damaged_baseline_is_named_and_skipped(tmp_path: Path, storage: Path) -> None:
    (file,) = storage.rglob("*.json")
    saved = json.loads(file.read_text())
    damaged = saved["benchmarks"][0] | {"fullname": "damaged"}
    damaged["extra_info"] = damaged["extra_info"] | {"launches": [[10**400]]}
    theirs = {"fullname": "theirs", "extra_info": {"fingerprint": "a1b2"}}
    file.write_text(json.dumps(saved | {"benchmarks": [theirs, damaged, *saved["benchmarks"]]}))
    (file.parent / "0002_half.json").write_text(file.read_text()[:100])
    (file.parent / "0003_nested.json").write_text("[" * 100_000)
    session = judge(tmp_path, storage)
    for name in ("0002_half", "0003_nested"):
        assert f"{name}.json is damaged" in session.output
    assert "is no time): damaged in " in session.output
    assert "Traceback" not in session.output
    assert "no-baseline" not in kinds(session).values()
