"""The file in which the session's own process says what it did."""

import logging
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.session.session_log import SessionLog, check_writable

LOGGER = logging.getLogger("pytest_gpt_dist")


def lines_of(folder: Path, level: str) -> list[str]:
    """What is written of a detail, an information and a warning."""
    log = SessionLog(folder, level)
    below = LOGGER.getChild("cluster")
    below.debug("a detail")
    below.info("an information")
    below.warning("a warning")
    log.close()
    return (folder / "session.log").read_text().splitlines()


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_information_is_always_written(tmp_path: Path, level: str) -> None:
    information, warning = lines_of(tmp_path / "new", level)
    assert information.endswith(" INFO an information")
    assert warning.endswith(" WARNING a warning")


def test_details_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "debug")[0].endswith(" DEBUG a detail")


def test_a_closed_log_leaves_the_logger_as_it_was(tmp_path: Path) -> None:
    before = LOGGER.level, list(LOGGER.handlers)
    lines_of(tmp_path, "debug")
    assert (LOGGER.level, LOGGER.handlers) == before
    LOGGER.error("for nobody")
    assert "for nobody" not in (tmp_path / "session.log").read_text()


def test_the_next_session_writes_behind_the_last(tmp_path: Path) -> None:
    assert len(lines_of(tmp_path, "info")) == 2
    assert len(lines_of(tmp_path, "info")) == 4


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--gpt-log-dir=.*/file: cannot write there \(File exists\)"):
        SessionLog(tmp_path / "file", "info")
    with pytest.raises(UsageError, match=r"--gpt-log-dir=.*/file: cannot write there \(File exists\)"):
        check_writable(tmp_path / "file")
    assert LOGGER.handlers == []


def test_a_worker_has_a_file_of_its_own(tmp_path: Path) -> None:
    check_writable(tmp_path)
    SessionLog(tmp_path, "info", worker="gw3").close()
    assert [path.name for path in tmp_path.iterdir()] == ["session-gw3.log"]
