"""Whole controllers in processes of their own: what they import, how they end, how pytest imports what they run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import FOREVER_S, HANG_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.code_version import Side
from pytest_gpt_dist.cluster.launcher import LaunchError
from pytest_gpt_dist.cluster.local.client import LocalServer

CONTROLLER = """
import json, os, sys, time
from pathlib import Path
from typing import Any
from pytest_gpt_dist.cluster import Cluster, ClusterConfig

def servers(pids):
    return {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}

with Cluster(ClusterConfig("cpu")) as cluster:
    idle, busy = cluster.group(1), cluster.group(2)
    ranks = idle.pids + busy.pids
    print(json.dumps({"pids": [*ranks, *servers(ranks)], "torch": "torch" in sys.modules}), flush=True)
    busy.run(time.sleep, int(sys.argv[1]))
"""


@pytest.fixture
def controller(tmp_path: Path, scratch: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a controller; its first line of output is JSON about its processes."""
    script = tmp_path / "controller.py"
    script.write_text(CONTROLLER)
    started: list[subprocess.Popen[str]] = []

    def start(sleep_s: int = 0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, script, str(sleep_s)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    facts: dict[str, Any] = json.loads(process.stdout.readline())
    return facts


def test_the_controller_never_imports_torch(controller: Callable[..., subprocess.Popen[str]]) -> None:
    process = controller()
    assert first_line(process)["torch"] is False
    assert process.wait(HANG_S) == 0


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_controllers_death_ends_everything(
    controller: Callable[..., subprocess.Popen[str]],
    all_gone: Callable[..., bool],
    scratch: Path,
    signum: signal.Signals,
) -> None:
    process = controller(FOREVER_S)
    facts = first_line(process)
    process.send_signal(signum)
    assert process.wait(HANG_S) == -signum
    assert all_gone(*facts["pids"])
    assert list(scratch.iterdir()) == []


def test_a_controllers_death_ends_a_server_that_is_still_starting(
    tmp_path: Path, scratch: Path, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    begun = tmp_path / "begun"
    python = interpreter(
        tmp_path,
        f"""
        import os, pathlib, sys, time
        from pytest_gpt_dist.cluster.local import __main__ as server
        def preload():
            pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))
            time.sleep({FOREVER_S})
        server.preload = preload
        sys.argv[1:4] = []
        server.main()
        """,
    )
    script = tmp_path / "controller.py"
    script.write_text(
        "import os, sys\n"
        "from pytest_gpt_dist.cluster.local.client import LocalServer\n"
        "from pytest_gpt_dist.cluster.code_version import Side\n"
        "LocalServer(os.environ, '/', Side(sys.argv[1]), timeout_s=60)\n"
    )
    process = subprocess.Popen([sys.executable, script, python])
    assert eventually(lambda: process.poll() is not None or (begun.exists() and begun.read_text() != ""))
    assert process.poll() is None, "the controller has ended, so its server did not wait in its imports"
    process.kill()
    process.wait(HANG_S)
    assert eventually(lambda: not Path("/proc", begun.read_text()).exists())
    assert list(scratch.iterdir()) == []


def test_ctrl_c_ends_everything(
    controller: Callable[..., subprocess.Popen[str]], all_gone: Callable[..., bool], scratch: Path
) -> None:
    process = controller(FOREVER_S)
    facts = first_line(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert all_gone(*facts["pids"])
    assert list(scratch.iterdir()) == []


def test_two_controllers_work_at_the_same_time(controller: Callable[..., subprocess.Popen[str]]) -> None:
    processes = [controller() for _ in range(2)]
    pids = [pid for process in processes for pid in first_line(process)["pids"]]
    assert len(set(pids)) == 8
    assert [process.wait(HANG_S) for process in processes] == [0, 0]


SHARED = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Answer:
    rank: int

def from_conftest():
    return "conftest of {folder}"
"""
TESTS = """
import os
import pytest
from pytest_gpt_dist.cluster import Cluster, ClusterConfig
{import_shared}

@pytest.fixture(scope="module")
def group(tmp_path_factory):
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path_factory.mktemp("ranks"))) as cluster:
        yield cluster.group(2)

def answer():
    return Answer(int(os.environ["RANK"]))

def test_functions_of_this_file(group):
    assert group.run(answer) == [Answer(0), Answer(1)]

def test_functions_of_another_file(group):
    assert group.run(from_conftest) == ["conftest of {folder}"] * 2
"""


@pytest.mark.parametrize(
    ("mode", "import_shared"),
    [
        ("prepend", "from conftest import Answer, from_conftest"),
        ("importlib", "from .conftest import Answer, from_conftest"),
    ],
)
def test_functions_travel_however_pytest_imported_them(tmp_path: Path, mode: str, import_shared: str) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(SHARED.format(folder=folder.name))
    (folder / "test_ranks.py").write_text(TESTS.format(folder=folder.name, import_shared=import_shared))
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"--import-mode={mode}",
        "-p",
        "no:cacheprovider",
    ]
    run = subprocess.run(
        [*command, os.fspath(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout


def interpreter(folder: Path, body: str) -> str:
    """Write a stand-in for a Python interpreter that is started as the server would be."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(body))
    path.chmod(0o700)
    return os.fspath(path)


def test_a_server_of_another_version_is_named(tmp_path: Path, scratch: Path) -> None:
    python = interpreter(
        tmp_path,
        """
        import os, sys
        from pytest_gpt_dist.cluster.wire import encode
        os.write(int(sys.argv[sys.argv.index("--socket") + 1]), encode(0, b"", version=99))
        """,
    )
    with pytest.raises(LaunchError, match="speaks version 99 of pytest-gpt-dist's protocol"):
        LocalServer(os.environ, Path.cwd(), Side(python), timeout_s=60)
    assert list(scratch.iterdir()) == []


def test_a_server_that_cannot_import_says_what_it_said(tmp_path: Path, scratch: Path) -> None:
    python = interpreter(tmp_path, "raise SystemExit('No module named torch')")
    with pytest.raises(LaunchError, match="ended with exit status 1; it said:\nNo module named torch"):
        LocalServer(os.environ, Path.cwd(), Side(python), timeout_s=60)
    assert list(scratch.iterdir()) == []


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(LaunchError, match="no-python cannot be started: No such file"):
        LocalServer(os.environ, Path.cwd(), Side(os.fspath(tmp_path / "no-python")), timeout_s=60)
    assert list(scratch.iterdir()) == []


def test_a_closed_cluster_can_be_followed_by_another(tmp_path: Path) -> None:
    for _ in range(2):
        with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster:
            assert cluster.group(1).run(os.getpid) == list(cluster.group(1).pids)
