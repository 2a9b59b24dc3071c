"""What a killed session leaves, and when it may stand for a measurement."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.measure.journal import Identity, Journal, JournalError
from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.measure.revision import source_revision
from pytest_gpt_dist.topology import Layout

IDENTITY = Identity("test_x.py::test_x[1gpu]", {"torch": "2.13"}, {"rounds": 2}, "abc+1")
INFO: dict[str, Any] = {
    "layout": {"dp": 1, "pp": 1, "tp": 2},
    "launches": [[0.1, 0.2], [0.3]],
    "tokens_per_s": 5.0,
    "latency_s": {"mean": 0.5, "p50": 0.4, "p95": 0.6, "p99": 0.7},
    "ttft_s": {"mean": 0.5, "p50": 0.4, "p95": 0.6, "p99": 0.7},
    "tpot_s": None,
    "itl_s": None,
    "speedup": 1.5,
    "efficiency": None,
    "resumed": False,
}
RESULT = Result(tokens=[[1, 2]], layout=Layout(tp=2), extra_info=INFO)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal with one entry, of a process that has ended."""
    Journal(tmp_path).write(IDENTITY, RESULT)
    (session,) = (tmp_path / "journal").iterdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    session.rename(session.with_name(f"1-{ended.pid}"))
    return tmp_path


def test_a_killed_sessions_result_comes_back_as_it_was(killed: Path) -> None:
    found = Journal(killed).find(IDENTITY)
    assert isinstance(found, Result)
    assert found.samples == (0.1, 0.2, 0.3)
    assert found.tokens == [[1, 2]]
    assert found.layout == Layout(tp=2)
    assert found.latency_s is not None
    assert found.latency_s.p95 == 0.6
    assert found.extra_info == INFO | {"resumed": True}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(IDENTITY, revision="abd+1"), "the source has changed"),
        (replace(IDENTITY, fingerprint={"torch": "2.14"}), "its fingerprint differs in torch"),
        (replace(IDENTITY, fingerprint={"cores": 2}), "its fingerprint differs in cores, torch"),
        (replace(IDENTITY, timing={"rounds": 3}), "its timing differs in rounds"),
    ],
)
def test_what_differs_is_measured_again_and_said(killed: Path, other: Identity, why: str) -> None:
    assert Journal(killed).find(other) == why


def test_another_case_finds_nothing(killed: Path) -> None:
    assert Journal(killed).find(replace(IDENTITY, case="test_x.py::test_x[2gpu]")) is None


def test_a_session_that_still_runs_is_not_resumed(tmp_path: Path) -> None:
    Journal(tmp_path).write(IDENTITY, RESULT)
    assert Journal(tmp_path).find(IDENTITY) is None


def test_a_completed_session_leaves_nothing_and_takes_what_it_resumed_along(killed: Path) -> None:
    journal = Journal(killed)
    journal.find(IDENTITY)
    journal.write(IDENTITY, RESULT)
    journal.complete()
    assert list((killed / "journal").iterdir()) == []


def test_a_damaged_entry_is_named(killed: Path) -> None:
    (entry,) = killed.glob("journal/*/*.json")
    entry.write_text(entry.read_text()[:50])
    found = Journal(killed).find(IDENTITY)
    assert isinstance(found, str)
    assert "is damaged" in found
    assert str(entry) in found


def test_nothing_half_written_has_the_entrys_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(ValueError, match="Out of range float"):
        journal.write(IDENTITY, replace(RESULT, extra_info=INFO | {"speedup": float("nan")}))
    assert list(tmp_path.glob("journal/*/*.json")) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder belongs")
    with pytest.raises(JournalError, match=r"cannot write .*; free some space or make it writable"):
        Journal(tmp_path).write(IDENTITY, RESULT)


def test_the_entry_is_json_with_the_raw_samples(killed: Path) -> None:
    (entry,) = killed.glob("journal/*/*.json")
    assert json.loads(entry.read_text())["extra_info"]["launches"] == [[0.1, 0.2], [0.3]]


def test_the_revision_changes_with_every_kind_of_change(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    assert source_revision(tmp_path) is None
    git("init")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "first")
    seen = [source_revision(tmp_path)]
    (tmp_path / "a.py").write_text("2")
    seen.append(source_revision(tmp_path))
    (tmp_path / "b.py").write_text("1")
    seen.append(source_revision(tmp_path))
    git("add", "-A")
    git("commit", "-m", "second")
    seen.append(source_revision(tmp_path))
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_what_a_git_hook_puts_into_the_environment_changes_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        subprocess.run(["git", "init", "--quiet", folder], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", mine, *who, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    before = source_revision(mine)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert before is not None
    assert source_revision(mine) == before
