"""What ranks printed is kept where there is any, and a disk that is gone or full fails nothing."""

import shutil
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.output import keep, new_folder, tail, wait_for_stacks


def test_what_was_printed_is_kept(scratch: Path, tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "group", 2)
    (folder / "rank0.log").write_text("said")
    kept = keep(folder)
    assert kept is not None
    assert (kept / "rank0.log").read_text() == "said"
    assert kept.is_relative_to(scratch)


@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_kept_of_a_group_that_printed_nothing(scratch: Path, tmp_path: Path, gone: bool) -> None:
    folder = new_folder(tmp_path / "group", 2)
    (folder / "rank0.log").touch()
    if gone:
        shutil.rmtree(folder)
    assert keep(folder) is None
    assert list(scratch.iterdir()) == []


def test_a_full_disk_leaves_no_folder_behind(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = new_folder(tmp_path / "group", 2)
    (folder / "rank0.log").write_text("said")
    monkeypatch.setattr("shutil.move", fail)
    assert keep(folder) is None
    assert list(scratch.iterdir()) == []


def test_files_that_are_gone_are_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""
    wait_for_stacks([tmp_path / "none"], Deadline.after(0.0))
