"""Several launches of a case, and sessions that go on where a killed one stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patience import FOREVER_S, HANG_S
from plugin.sessions import TINY, own_environment, prepare, run_session

LOGGING_ENGINE = """\
import os
from pathlib import Path
from pytest_gpt_dist.inference.engines.native import NativeEngine

class Logging(NativeEngine):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        with Path("pids").open("a") as file:
            print(os.getpid(), os.getppid(), file=file)
"""
CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_model("tiny", "tiny_model:TINY")
    registry.add_engine("logging", "logging_engine:Logging")
"""
CASES = f"""\
import pathlib, time, pytest

@pytest.mark.parametrize("strategy", ["pure_data_parallel", "tensor_data_hybrid"])
def test_case(gpt_dist, strategy):
    gpt_dist.run(gpus=2, strategy=strategy)

def test_last():
    if pathlib.Path("wait").exists():
        pathlib.Path("reached").touch()
        time.sleep({FOREVER_S})
"""
SAVING = ("--benchmark-autosave", "--benchmark-save-data")


def test_every_launch_has_new_processes_of_one_server(tmp_path: Path) -> None:
    files = {
        "conftest.py": CONFTEST,
        "logging_engine.py": LOGGING_ENGINE,
        "test_launches.py": "def test_case(gpt_dist):\n    gpt_dist.run(gpus=2, engine='logging', rounds=2)\n",
    }
    session = run_session(tmp_path, files, *TINY, *SAVING, "--gpt-launches=3")
    assert session.tests["test_case"].outcome == "passed", session.output
    saved = session.benchmarks["test_case"]
    launches = saved["extra_info"]["launches"]
    assert [len(rounds) for rounds in launches] == [2, 2, 2]
    assert saved["stats"]["data"] == [sample for rounds in launches for sample in rounds]
    lines = [line.split() for line in (tmp_path / "pids").read_text().splitlines()]
    of_two_ranks = lines[:6]
    assert len({pid for pid, _ in of_two_ranks}) == 6
    assert len({server for _, server in of_two_ranks}) == 1


def test_an_interrupted_session_says_how_it_goes_on(tmp_path: Path) -> None:
    cases = "def test_case(gpt_dist):\n    gpt_dist.run()\n\ndef test_stop():\n    raise KeyboardInterrupt\n"
    session = run_session(tmp_path, {"test_cases.py": cases}, *TINY, "--gpt-device=cpu")
    assert session.status == pytest.ExitCode.INTERRUPTED
    assert "What is finished is kept: --gpt-resume measures the rest alone." in session.output.splitlines()


def test_a_killed_session_is_resumed_once_and_only_what_is_the_same(tmp_path: Path) -> None:
    prepare(tmp_path, {"test_cases.py": CASES})
    (tmp_path / "wait").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", *TINY], cwd=tmp_path, env=own_environment(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline_s = time.monotonic() + HANG_S
    while not (tmp_path / "reached").exists() and time.monotonic() < deadline_s and running.poll() is None:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert len(list(tmp_path.glob(".gpt-dist/journal/*/*.json"))) == 2
    (tmp_path / "wait").unlink()

    other = run_session(tmp_path, {}, *TINY, "--gpt-resume", "--gpt-rounds=3", "-k", "pure", "-x")
    assert "measured again: its timing differs in rounds" in other.output
    session = run_session(tmp_path, {}, *TINY, *SAVING, "--gpt-resume")
    assert session.status == 0, session.output
    assert [entry["extra_info"]["resumed"] for entry in session.benchmarks.values()] == [True, True]
    assert "resumed" in session.output
    assert list(tmp_path.glob(".gpt-dist/journal/*")) == []
