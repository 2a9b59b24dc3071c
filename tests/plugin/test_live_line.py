"""The line that says on a terminal what the running case does."""

import os
import subprocess
import sys

import pytest

from plugin.sessions import DEADLINE_S, TINY, WITHOUT, Session, own_environment, prepare

TEST = """
def test_case(gpt_dist):
    gpt_dist.run(rounds=20)
"""
SAVE, RESTORE, ERASE = "\x1b7", "\x1b8", "\x1b[K"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that a session wrote to a terminal."""
    folder = tmp_path_factory.mktemp("terminal")
    prepare(folder, {"test_case.py": TEST})
    environment = own_environment(folder) | {"TERM": "xterm"}
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "pytest", *WITHOUT, *TINY, "--gpt-device=cpu"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=terminal, stdout=terminal) as process:
        os.close(terminal)
        written = _read_all(master)
        assert process.wait(DEADLINE_S) == pytest.ExitCode.OK, written
    os.close(master)
    return written


def _read_all(master: int) -> str:
    """Read until the last process that has the terminal open lets go of it."""
    written = b""
    while True:
        try:
            read = os.read(master, 4096)
        except OSError:  # Linux's end of file for a terminal
            return written.decode()
        written += read


def test_the_line_says_what_happens(shown: str) -> None:
    lines = [part.partition(ERASE)[0].strip() for part in shown.split(SAVE)[1:]]
    assert lines[0] == "starting ranks"
    assert any(line.startswith("round ") and line.endswith(" of 20") for line in lines)


def test_the_cursor_is_put_back_each_time(shown: str) -> None:
    assert shown.count(SAVE) == shown.count(ERASE + RESTORE) > 0


def test_the_line_is_gone_when_the_case_ends(shown: str) -> None:
    after = shown.rpartition(RESTORE)[2]
    assert after.startswith(ERASE)
    assert "1 passed" in after


def test_there_is_no_line_where_the_output_is_no_terminal(timed: Session) -> None:
    assert SAVE not in timed.output
