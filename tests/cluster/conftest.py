"""Clusters that the tests of this folder share: starting a server is what costs."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from patience import HANG_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.host.linux import process_state


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A patient cluster; tests may kill its groups, but leave no changed group behind."""
    logs = tmp_path_factory.mktemp("ranks")
    with Cluster(ClusterConfig("cpu", log_dir=logs)) as shared:
        yield shared


@pytest.fixture(scope="session")
def silence_s(cluster: Cluster) -> float:
    """How long ranks of `impatient` may be silent: two seconds, or more where ranks take long to answer.

    The first call imports a file of tests, and with it most of what any other call imports.
    """
    group = cluster.group(3)
    began_s = time.monotonic()
    group.run(is_gone, 1)
    return max(2.0, 5 * (time.monotonic() - began_s))


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory, silence_s: float) -> Iterator[Cluster]:
    """A cluster whose ranks may be silent for `silence_s` only."""
    logs = tmp_path_factory.mktemp("impatient")
    with Cluster(ClusterConfig("cpu", timeout_s=silence_s, log_dir=logs)) as shared:
        yield shared


def is_gone(pid: int) -> bool:
    state = process_state(pid)
    return not state or state.startswith("Z")


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Return a function that waits until a condition holds, and whether it did before it counts as hung."""

    def wait(condition: Callable[[], bool]) -> bool:
        deadline_s = time.monotonic() + HANG_S
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.02)
        return True

    return wait


@pytest.fixture
def all_gone(eventually: Callable[[Callable[[], bool]], bool]) -> Callable[..., bool]:
    """Return a function that waits until processes have ended."""
    return lambda *pids: eventually(lambda: all(map(is_gone, pids)))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, for it and for what it starts."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(folder))
    monkeypatch.setattr("tempfile.tempdir", os.fspath(folder))
    return folder
