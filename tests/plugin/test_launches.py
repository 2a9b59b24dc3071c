"""Several launches of a case, and sessions that go on where a killed one stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patience import FOREVER_S, HANG_S
from plugin.sessions import QUICK, SORTING, own_environment, prepare, run_session

LOGGING_MODE = """\
import os
from pathlib import Path
from made_mode import SortingMode, sort

class LoggingMode(SortingMode):
    def job(self, case, checked, timing):
        return "logging_mode:log_and_sort", super().job(case, checked, timing)[1]

def log_and_sort(job):
    with Path("pids").open("a") as file:
        print(os.getpid(), os.getppid(), file=file)
    return sort(job)
"""
INTERRUPTED = """\
def test_case(gpt_dist):
    gpt_dist.measure("sorting")

def test_stop():
    raise KeyboardInterrupt
"""
CASES = f"""\
import pathlib, time, pytest

@pytest.mark.parametrize("strategy", ["pure_data_parallel", "tensor_data_hybrid"])
def test_case(gpt_dist, strategy):
    gpt_dist.measure("sorting", gpus=2, strategy=strategy)

def test_last():
    if pathlib.Path("wait").exists():
        pathlib.Path("reached").touch()
        time.sleep({FOREVER_S})
"""
SAVING = ("--benchmark-autosave", "--benchmark-save-data")


def test_every_launch_has_new_processes_of_one_server(tmp_path: Path) -> None:
    files = {
        "conftest.py": SORTING.replace("made_mode:SortingMode", "logging_mode:LoggingMode"),
        "logging_mode.py": LOGGING_MODE,
        "test_launches.py": "def test_case(gpt_dist):\n    gpt_dist.measure('sorting', gpus=2)\n",
    }
    session = run_session(tmp_path, files, *QUICK, *SAVING, "--gpt-launches=2")
    assert session.tests["test_case"].outcome == "passed", session.output
    saved = session.benchmarks["test_case"]
    launches = saved["extra_info"]["launches"]
    assert [len(rounds) for rounds in launches] == [2, 2]
    assert saved["stats"]["data"] == [sample for rounds in launches for sample in rounds]
    lines = [line.split() for line in (tmp_path / "pids").read_text().splitlines()]
    of_two_ranks = lines[:4]
    assert len({pid for pid, _ in of_two_ranks}) == 4
    assert len({server for _, server in of_two_ranks}) == 1


def test_an_interrupted_session_says_how_it_goes_on(tmp_path: Path) -> None:
    session = run_session(tmp_path, {"conftest.py": SORTING, "test_cases.py": INTERRUPTED}, *QUICK)
    assert session.status == pytest.ExitCode.INTERRUPTED
    assert "What is finished is kept: --gpt-resume measures the rest alone." in session.output.splitlines()


def test_a_killed_session_is_resumed_once_and_only_what_is_the_same(tmp_path: Path) -> None:
    files = {"conftest.py": SORTING, "test_cases.py": CASES}
    prepare(tmp_path, files)
    (tmp_path / "wait").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", *QUICK], cwd=tmp_path, env=own_environment(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline_s = time.monotonic() + HANG_S
    while not (tmp_path / "reached").exists() and time.monotonic() < deadline_s and running.poll() is None:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert len(list(tmp_path.glob(".gpt-dist/journal/*/*.json"))) == 2
    (tmp_path / "wait").unlink()

    other = run_session(tmp_path, files, *QUICK, "--gpt-resume", "--gpt-rounds=3", "-k", "pure", "-x")
    assert "measured again: its timing differs in rounds" in other.output
    session = run_session(tmp_path, files, *QUICK, *SAVING, "--gpt-resume")
    assert session.status == 0, session.output
    assert [entry["extra_info"]["resumed"] for entry in session.benchmarks.values()] == [True, True]
    assert "resumed" in session.output
    assert list(tmp_path.glob(".gpt-dist/journal/*")) == []
