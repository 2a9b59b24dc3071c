"""A session's temporary folder: whose it is, when it is removed, and what happens when somebody else removes it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.holding import hold
from pytest_gpt_dist.host.scratch import Scratch

HOLD = """
import sys
from pytest_gpt_dist.host.scratch import Scratch
scratch = Scratch()
print(scratch.folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this test and of what it starts."""
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path))
    return tmp_path


def test_a_live_session_keeps_its_folder_and_a_killed_one_loses_it_to_the_next(temporary: Path) -> None:
    """Whatever its process is called: in another container the id says nothing, or is somebody else's."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        made = Path(os.fsdecode(other.stdout.readline()).strip())
        theirs = made.rename(made.with_name("gpt-dist-scratch-999999999-x"))
        (theirs / "weights").mkdir()
        with Scratch() as mine:
            assert mine.folder.parent == temporary
            assert (theirs / "weights").is_dir()
        other.kill()
    with Scratch() as mine:
        assert [mine.folder] == list(temporary.iterdir())
    assert list(temporary.iterdir()) == []


def test_a_folder_that_was_removed_is_made_anew_and_held(temporary: Path) -> None:
    scratch = Scratch()
    first = scratch.folder
    assert scratch.folder == first
    shutil.rmtree(first)
    second = scratch.folder
    assert second.is_dir()
    assert hold(second) is None
    scratch.close()
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_is_left_alone(temporary: Path) -> None:
    (temporary / "gpt-dist-scratch-of-a-file").touch()
    os.mkfifo(temporary / "gpt-dist-scratch-of-a-pipe")
    (temporary / "elsewhere").mkdir()
    (temporary / "gpt-dist-scratch-of-a-link").symlink_to("elsewhere")
    (temporary / "gpt-dist-failed-x").mkdir()
    before = sorted(temporary.iterdir())
    with Scratch() as scratch:
        assert scratch.folder.is_dir()
    assert sorted(temporary.iterdir()) == before


def test_a_temporary_folder_that_is_gone_is_one_line(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", os.fspath(temporary / "gone"))
    scratch = Scratch()
    with pytest.raises(UsageError, match=r"no temporary folder can be made .*; set TMPDIR"):
        _ = scratch.folder
