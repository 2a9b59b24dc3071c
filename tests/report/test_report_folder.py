"""The folder of a report: found out to be writable in time, and changed as a whole or not at all."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.files import write_report
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.folder import File, check_writable, replace_files
from saved_cases import saved_case


def test_finding_out_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "below")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("below", "why"),
    [("file", "Not a directory"), ("file/sub", "Not a directory"), ("x" * 300, "File name too long")],
)
def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, below: str, why: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"cannot be written: {why}; choose another folder"):
        check_writable(tmp_path / below)


def test_what_was_made_is_removed_even_where_the_rest_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check_writable(tmp_path / "new" / ("x" * 300))
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_stale_ones_removed_and_others_left(tmp_path: Path) -> None:
    for name in ("a", "old", "mine"):
        (tmp_path / name).write_text("earlier")
    paths = replace_files(tmp_path, [File("a", b"new"), File("b", b"new")], lambda name: name == "old")
    assert paths == [tmp_path / "a", tmp_path / "b"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "new",
        "b": "new",
        "mine": "earlier",
    }


def test_without_room_for_all_files_the_earlier_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("earlier")
    (tmp_path / "old").write_text("earlier")
    too_long = File("x" * 300, b"")
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        replace_files(tmp_path, [File("a", b"new"), too_long], lambda name: name == "old")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "earlier", "old": "earlier"}


def test_files_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (path,) = replace_files(tmp_path, [File("a", b"")], lambda name: False)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_whoever_waits_is_told_of_every_chart_that_is_drawn(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made_at = datetime(2026, 11, 21, tzinfo=UTC)
    write_report(find([saved_case()]), tmp_path, made_at, told=lambda drawn, of: told.append((drawn, of)))
    charts = len(list(tmp_path.glob("*.png")))
    assert told == [(drawn, charts) for drawn in range(charts)]


def test_files_beside_the_report_come_with_it(tmp_path: Path) -> None:
    beside = File("results.json", b"{}")
    paths = write_report(find([saved_case()]), tmp_path, datetime(2026, 11, 21, tzinfo=UTC), [beside])
    assert paths[0] == tmp_path / "results.json"
    assert paths[0].read_bytes() == b"{}"
