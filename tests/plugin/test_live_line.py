"""What a session says of its work while it runs: a line on the terminal, and files beside it."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from patience import HANG_S
from plugin.sessions import TINY, WITHOUT, own_environment, prepare, run_python

TEST = """
import pytest

@pytest.mark.parametrize("rounds", [20, 3])
def test_case(gpt_dist, rounds):
    gpt_dist.run(rounds=rounds)

def test_without_a_case():
    pass
"""
SAVE, RESTORE, ERASE = "\x1b7", "\x1b8", "\x1b[K"


@dataclass(frozen=True)
class Terminal:
    """All that a session wrote to a terminal, and the folder that it ran in."""

    written: str
    folder: Path

    @property
    def lines(self) -> list[str]:
        """The texts of the line, one after the other."""
        return [part.partition(ERASE)[0].strip() for part in self.written.split(SAVE)[1:]]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    folder = tmp_path_factory.mktemp("terminal")
    prepare(folder, {"test_case.py": TEST})
    logs = ("--gpt-log-dir=logs", "--gpt-log-level=debug")
    return Terminal(_on_terminal(folder, *TINY, *logs, "--gpt-device=cpu"), folder)


def _on_terminal(folder: Path, *args: str, columns: int = 200, setting: str = "TERM=xterm") -> str:
    environment = own_environment(folder)
    for name in ("COLUMNS", "LINES", "CI", "NO_COLOR"):
        environment.pop(name, None)
    name, _, value = setting.partition("=")
    environment |= {"TERM": "xterm", name: value}
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "pytest", *WITHOUT, *args]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=terminal, stdout=terminal) as process:
        os.close(terminal)
        written = _read_all(master)
        assert process.wait(HANG_S) == pytest.ExitCode.OK, written
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


def test_the_line_says_which_case_runs_and_what_it_does(shown: Terminal) -> None:
    assert shown.lines[0] == "case 1 of 2 · preparing"
    assert "case 1 of 2 · starting ranks" in shown.lines
    assert any(line.startswith("case 1 of 2 · round ") and line.endswith(" of 20") for line in shown.lines)


def test_the_line_says_how_long_it_takes_once_a_case_tells(shown: Terminal) -> None:
    second = [line for line in shown.lines if line.startswith("case 2 of 2")]
    assert second
    assert all(line.startswith("case 2 of 2, about ") and " left · " in line for line in second)


def test_the_cursor_is_put_back_each_time(shown: Terminal) -> None:
    assert shown.written.count(SAVE) == shown.written.count(ERASE + RESTORE) > 0


def test_the_line_is_gone_when_the_case_ends(shown: Terminal) -> None:
    after = shown.written.rpartition(RESTORE)[2]
    assert after.startswith(ERASE)
    assert "3 passed" in after


QUIET = """
def test_with_a_name_that_is_longer_than_the_terminal(pytestconfig):
    from pytest_gpt_dist.terminal.live_line import LiveLine
    line = LiveLine(pytestconfig)
    line.show("some words")
    line.clear()
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quiet")
    prepare(folder, {"test_line.py": QUIET})
    return folder


def test_the_line_finds_room_behind_a_name_that_wraps(quiet: Path) -> None:
    assert f"{SAVE} some words{ERASE}{RESTORE}" in _on_terminal(quiet, "-v", columns=40)


@pytest.mark.parametrize("how", ["-q", "-s", "--log-cli-level=INFO", "--no-terminal"])
def test_there_is_no_line_where_it_is_not_wanted_or_would_break_others(quiet: Path, how: str) -> None:
    flags = ("-p", "no:terminal") if how == "--no-terminal" else (how,)
    assert SAVE not in _on_terminal(quiet, *flags)


@pytest.mark.parametrize("setting", ["TERM=dumb", "CI=true"])
def test_there_is_no_line_where_nobody_watches(quiet: Path, setting: str) -> None:
    assert SAVE not in _on_terminal(quiet, setting=setting)


def test_a_line_needs_no_colours(quiet: Path) -> None:
    assert SAVE in _on_terminal(quiet, setting="NO_COLOR=1")


def test_colours_alone_make_no_terminal(quiet: Path) -> None:
    done = run_python(quiet, "-m", "pytest", *WITHOUT, "--color=yes")
    assert "\x1b[32m" in done.stdout
    assert SAVE not in done.stdout


def test_a_case_leaves_its_rounds_in_the_output_of_its_ranks(shown: Terminal) -> None:
    (log,) = shown.folder.glob("logs/1ranks-*/rank0.log")
    said = [line.partition(" rank 0: ")[2] for line in log.read_text().splitlines()]
    begun = "case begins: pytest_gpt_dist.inference.engines.native:NativeEngine at dp0 pp0 tp0 of dp1·pp1·tp1"
    assert said.count(begun) == 2
    assert "batches of requests: [[0, 1]]" in said
    assert sum(line.startswith("loaded: ") for line in said) == 2
    assert sum(line.startswith("checked: largest logit error ") for line in said) == 2
    assert sum(line.startswith("warm-up 1: ") for line in said) == 2
    assert sum(line.startswith("round ") for line in said) == 20 + 3


def test_the_session_leaves_what_it_started_and_decided(shown: Terminal) -> None:
    said = (shown.folder / "logs" / "session.log").read_text()
    name = "test_case.py::test_case[20]"
    assert f" INFO {name}: native on dp1·pp1·tp1, 2 requests\n" in said
    assert " INFO group of 1 started in " in said
    assert f" DEBUG {name}: starting ranks\n" in said
    assert f" INFO {name}: " in said.partition(f"{name}: round 20 of 20\n")[2]
    assert " INFO launch of native on dp1·pp1·tp1: processes " in said
    assert " INFO group of 1 is to leave: processes " in said


def test_stacks_that_nobody_asked_for_leave_no_file(shown: Terminal) -> None:
    assert list(shown.folder.glob("logs/1ranks-*/*.stack")) == []


def test_a_log_folder_that_cannot_be_written_stops_a_session_with_workers_in_one_line(quiet: Path) -> None:
    done = run_python(quiet, "-m", "pytest", "test_line.py", *WITHOUT, "--gpt-log-dir=test_line.py", "-n1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stdout.strip().endswith("test_line.py: cannot write there (File exists)")
