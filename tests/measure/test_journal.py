"""What a killed session leaves, and when it may stand for a measurement."""

import codecs
import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.git.revision import source_revision
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.measure.journal import Identity, Journal, JournalError, entry_text
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.results.metrics import SCHEMA

IDENTITY = Identity("test_x.py::test_x[1gpu]", {"torch": "2.13"}, {"rounds": 2}, "abc+1")
INFO: dict[str, Any] = {
    "schema": SCHEMA,
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
RESULT = GenerationResult(output=[[1, 2]], layout=Layout(tp=2), extra_info=INFO)


def journal_in(folder: Path) -> Journal:
    return Journal(folder, GenerationResult.of)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal with one entry, of a session that has not come to its end."""
    journal = journal_in(tmp_path)
    journal.write(IDENTITY, RESULT)
    journal.close()
    return tmp_path


def test_a_killed_sessions_result_comes_back_as_it_was(killed: Path) -> None:
    found = journal_in(killed).find(IDENTITY)
    assert isinstance(found, GenerationResult)
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
    assert journal_in(killed).find(other) == why


def test_another_case_finds_nothing(killed: Path) -> None:
    assert journal_in(killed).find(replace(IDENTITY, case="test_x.py::test_x[2gpu]")) is None


WRITE = """
import sys
from pathlib import Path
from test_journal import IDENTITY, RESULT, journal_in
journal_in(Path(sys.argv[1])).write(IDENTITY, RESULT)
print("written", flush=True)
sys.stdin.read()
"""


def test_a_session_is_resumed_when_it_has_died_and_not_before(tmp_path: Path) -> None:
    """Whatever its process is called: in another container or on another machine the id says nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as session:  # fmt: skip
        assert session.stdout is not None
        assert session.stdout.readline() == b"written\n"
        (folder,) = tmp_path.glob("journal/*")
        folder.rename(folder.with_name("1-999999999"))
        before = journal_in(tmp_path).find(IDENTITY)
        session.kill()
    assert before is None
    assert isinstance(journal_in(tmp_path).find(IDENTITY), GenerationResult)


def test_what_one_session_resumes_no_other_one_takes_too(killed: Path) -> None:
    one, other = journal_in(killed), journal_in(killed)
    assert isinstance(one.find(IDENTITY), GenerationResult)
    assert isinstance(one.find(IDENTITY), GenerationResult)
    assert other.find(IDENTITY) is None
    one.close()
    assert isinstance(other.find(IDENTITY), GenerationResult)


def test_what_a_session_looks_at_and_does_not_take_others_may(killed: Path) -> None:
    one, other = journal_in(killed), journal_in(killed)
    assert isinstance(one.find(replace(IDENTITY, revision="abd+1")), str)
    assert isinstance(other.find(IDENTITY), GenerationResult)


def test_a_disk_without_locks_is_said_and_nothing_is_taken(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", unable)
    journal_in(killed).write(IDENTITY, RESULT)
    found = journal_in(killed).find(IDENTITY)
    assert isinstance(found, str)
    assert "still runs (No locks available)" in found


def test_a_completed_session_leaves_nothing_and_takes_what_it_resumed_along(killed: Path) -> None:
    journal = journal_in(killed)
    journal.find(IDENTITY)
    journal.write(IDENTITY, RESULT)
    journal.complete()
    assert list((killed / "journal").iterdir()) == []


GOOD = entry_text(IDENTITY, RESULT).encode()
OF_ANOTHER_SCHEMA = replace(RESULT, extra_info=INFO | {"schema": SCHEMA + 1})
OF_ANOTHER_VERSION = replace(
    RESULT, extra_info={key: value for key, value in INFO.items() if key != "layout"}
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is damaged"),
        (GOOD[: len(GOOD) // 2], "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"[]", "is damaged"),
        (b"null", "is damaged"),
        (b"7" * 5_000, "is damaged"),
        (GOOD.replace(b"0.1", b"1" + b"0" * 400), "is damaged (its checksum is another)"),
        (GOOD.replace(b"0.1", b"1e-320"), "is damaged (its checksum is another)"),
        (GOOD.replace(b"0.1", b"Infinity"), "is damaged (its checksum is another)"),
        (GOOD.replace(b'"2.13"', b"[[]]"), "is damaged (its checksum is another)"),
        (GOOD.replace(b"abc", b"\xe9\xe9"), "is damaged"),
        (entry_text(IDENTITY, OF_ANOTHER_SCHEMA).encode(), f"is of schema {SCHEMA + 1}, and this version"),
        (entry_text(IDENTITY, OF_ANOTHER_VERSION).encode(), "is of another version (KeyError: 'layout')"),
    ],
    ids=[
        "empty", "half", "deep", "list", "null", "digits", "huge", "tiny", "infinite", "replaced", "latin-1", "schema",
        "version",
    ],
)  # fmt: skip
def test_a_damaged_entry_is_named_in_one_line(killed: Path, content: bytes, why: str) -> None:
    (entry,) = killed.glob("journal/*/*.json")
    assert content != GOOD
    entry.write_bytes(content)
    found = journal_in(killed).find(IDENTITY)
    assert isinstance(found, str)
    assert found.startswith(f"{entry} {why}")
    assert len(found.splitlines()) == 1


def test_a_folder_in_place_of_an_entry_is_said(killed: Path) -> None:
    (entry,) = killed.glob("journal/*/*.json")
    entry.unlink()
    entry.mkdir()
    assert journal_in(killed).find(IDENTITY) == f"{entry} cannot be read (Is a directory)"


def test_a_byte_order_mark_damages_nothing(killed: Path) -> None:
    (entry,) = killed.glob("journal/*/*.json")
    entry.write_bytes(codecs.BOM_UTF8 + entry.read_bytes())
    assert isinstance(journal_in(killed).find(IDENTITY), GenerationResult)


@pytest.mark.parametrize("damage", [b"", b"\xff"], ids=["empty", "binary"])
def test_a_damaged_entry_costs_itself_alone(killed: Path, damage: bytes) -> None:
    newer = journal_in(killed)
    newer.write(IDENTITY, replace(RESULT, output=[[3]]))
    newer.close()
    newest = max(killed.glob("journal/*/*.json"))
    newest.write_bytes(damage)
    found = journal_in(killed).find(IDENTITY)
    assert isinstance(found, GenerationResult)
    assert found.tokens == RESULT.tokens


@pytest.mark.parametrize("stray", ["journal", "journal/1-2"])
def test_a_file_in_place_of_a_folder_is_no_journal(tmp_path: Path, stray: str) -> None:
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).touch()
    assert journal_in(tmp_path).find(IDENTITY) is None


def test_the_last_attempt_at_a_case_is_what_is_kept(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.write(IDENTITY, RESULT)
    journal.write(IDENTITY, replace(RESULT, output=[[3]]))
    (entry,) = tmp_path.glob("journal/*/*.json")
    assert json.loads(entry.read_text())["output"] == [[3]]
    journal.forget(IDENTITY.case)
    assert list(tmp_path.glob("journal/*/*.json")) == []


def test_a_journal_that_is_removed_while_its_session_runs_is_made_anew(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.write(IDENTITY, RESULT)
    shutil.rmtree(tmp_path / "journal")
    journal.write(IDENTITY, RESULT)
    assert journal_in(tmp_path).find(IDENTITY) is None
    journal.close()
    assert isinstance(journal_in(tmp_path).find(IDENTITY), GenerationResult)


def test_a_session_that_has_measured_nothing_leaves_nothing(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.open()
    assert len(list((tmp_path / "journal").iterdir())) == 1
    journal.close()
    assert list((tmp_path / "journal").iterdir()) == []


def test_nothing_half_written_has_the_entrys_name(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    with pytest.raises(ValueError, match="Out of range float"):
        journal.write(IDENTITY, replace(RESULT, extra_info=INFO | {"speedup": float("nan")}))
    assert list(tmp_path.glob("journal/*/*.json")) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder belongs")
    with pytest.raises(JournalError, match=r"cannot write .*; free some space or make it writable"):
        journal_in(tmp_path).open()


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
