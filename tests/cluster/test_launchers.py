"""The seam between groups and whoever starts their ranks, with a launcher that has nothing in common with ours."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from patience import FOREVER_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup, RankGroupError
from pytest_gpt_dist.cluster.connect import Listener
from pytest_gpt_dist.cluster.launcher import Place
from pytest_gpt_dist.cluster.messages import STACK_SIGNAL, RankSpec
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.host.linux import process_state

RANK = [sys.executable, "-m", "pytest_gpt_dist.cluster.rank_main"]


class PlainLauncher:
    """Starts ranks as plain subprocesses; `news` is readable when one of them has ended."""

    is_here = True
    about: Mapping[str, object] = {"launcher": "plain"}

    def __init__(self, environment: Mapping[str, str], cwd: Path, config: ClusterConfig) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="plain-"))
        self._environment, self._cwd = environment, cwd
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._pidfds: dict[int, int] = {}
        self._news = select.epoll()

    def fileno(self) -> int:
        return self._news.fileno()

    def alive(self) -> bool:
        return not self._news.closed

    def listen(self, world_size: int) -> Listener:
        return Listener(world_size, self.scratch, "127.0.0.1")

    def bring_output(self, files: Mapping[int, tuple[Path, Path]]) -> None:
        pass

    def place(self, pid: int) -> Place:
        return Place("", pid)

    def start(self, spec: RankSpec) -> int:
        file = self.scratch / f"rank{spec.rank}.json"
        file.write_text(spec.to_json())
        process = subprocess.Popen(
            [*RANK, file], env=self._environment, cwd=self._cwd, text=True, start_new_session=True
        )
        self._processes[process.pid] = process
        self._pidfds[process.pid] = os.pidfd_open(process.pid)
        self._news.register(self._pidfds[process.pid], select.EPOLLIN | select.EPOLLET)
        return process.pid

    def ended(self) -> Mapping[int, int]:
        self._news.poll(0)
        found = {pid: process.poll() for pid, process in self._processes.items()}
        return {pid: status for pid, status in found.items() if status is not None}

    def dump_stacks(self, pids: Sequence[int]) -> None:
        for pid in pids:
            self._processes[pid].send_signal(STACK_SIGNAL)

    def state(self, pid: int) -> str:
        return process_state(pid)

    def sys_path(self, controllers: Sequence[str]) -> tuple[str, ...]:
        return tuple(controllers)

    def kill(self, pids: Sequence[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._processes.pop(pid).wait()
            os.close(self._pidfds.pop(pid))

    def close(self) -> None:
        self.kill(list(self._processes))
        self._news.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


AllGone = Callable[..., bool]


@pytest.fixture
def plain(scratch: Path) -> Iterator[Cluster]:
    with Cluster(ClusterConfig("cpu"), PlainLauncher) as cluster:
        yield cluster


def sum_of_ranks() -> float:
    total = torch.tensor([float(this_rank().rank + 1)])
    dist.all_reduce(total)
    return total.item()


def fail_on(rank: int) -> None:
    if this_rank().rank == rank:
        raise ValueError("no luck")
    dist.barrier()


def kill_on(rank: int) -> None:
    if this_rank().rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def failing(group: RankGroup, fn: Callable[..., object], argument: float) -> RankGroupError:
    with pytest.raises(RankGroupError) as caught:
        group.run(fn, argument)
    return caught.value


def test_ranks_of_another_launcher_work_fail_and_are_cleared_away(
    plain: Cluster, scratch: Path, all_gone: AllGone
) -> None:
    group = plain.group(2)
    assert group.run(sum_of_ranks) == [3.0, 3.0]
    assert group.about == {"launcher": "plain"}
    error = failing(group, fail_on, 1)
    assert (error.kind, error.ranks) == ("exception", (1,))
    assert str(error).startswith("rank 1 raised ValueError: no luck")
    assert "in barrier" in error.reports[0].stack
    assert all_gone(*group.pids)
    killed = plain.group(2)
    error = failing(killed, kill_on, 0)
    assert (error.kind, error.ranks) == ("death", (0,))
    assert all_gone(*killed.pids)
    plain.close()
    assert not list(scratch.glob("plain-*"))


def test_a_silent_rank_of_another_launcher_is_told(plain: Cluster, all_gone: AllGone) -> None:
    group = plain.group(1)
    group._config = ClusterConfig("cpu", timeout_s=1.0)  # only now: torch takes longer to import
    error = failing(group, time.sleep, FOREVER_S)
    assert (error.kind, error.ranks) == ("silence", (0,))
    assert all_gone(*group.pids)


class StillbornLauncher(PlainLauncher):
    """Its ranks end before they connect."""

    def start(self, spec: RankSpec) -> int:
        self._environment = {**os.environ, "PYTHONPATH": "", "PYTHONHOME": "/nowhere"}
        return super().start(spec)


def test_a_rank_that_dies_before_it_connects_is_named(scratch: Path) -> None:
    with (
        Cluster(ClusterConfig("cpu"), StillbornLauncher) as cluster,
        pytest.raises(RankGroupError, match=r"2 ranks could not start: rank \d ended with exit status 1"),
    ):
        cluster.group(2)
