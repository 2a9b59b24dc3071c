import ctypes
import mmap
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from patience import FOREVER_S, HANG_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup, RankGroupError
from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.errors import UsageError

AllGone = Callable[..., bool]
Eventually = Callable[[Callable[[], bool]], bool]


def rank_one(act: str) -> object:
    """Rank 1 does something bad while the others wait for it in a collective."""
    if this_rank().rank == 1:
        print("about to", act)
        match act:
            case "raise":
                raise ValueError("no such thing")
            case "sys.exit":
                sys.exit(3)
            case "os._exit":
                os._exit(4)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crash":
                ctypes.string_at(0)
            case "sleep":
                time.sleep(FOREVER_S)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "allocate":
                torch.empty(2**30, dtype=torch.uint8)
            case "return nonsense":
                return lambda: None
            case "hang up":
                hang_up()
            case "start others":
                subprocess.Popen(["sleep", str(FOREVER_S)])
                raise ValueError(f"started {subprocess.Popen(['sleep', str(FOREVER_S)]).pid}")
    dist.barrier()
    return None


def hang_up() -> None:
    """Close the one Unix socket that a rank has, its line to the controller, and live on."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and _is_unix_socket(fd):
            os.close(fd)
    time.sleep(FOREVER_S)


def _is_unix_socket(fd: int) -> bool:
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as duplicate:
        return duplicate.family == socket.AF_UNIX
    return False


def all_ranks(act: str) -> None:
    raise KeyError(f"{act} on {this_rank().rank}")


def work_on(seconds: float) -> str:
    end_s = time.monotonic() + seconds
    step = 0
    while time.monotonic() < end_s:
        step += 1
        report_progress("working", step)
        time.sleep(0.05)
    return "done"


def map_and_fail(path: str) -> None:
    with open(path, "w+b") as file:
        file.write(b"\0" * 4096)
        file.flush()
        with mmap.mmap(file.fileno(), 4096):
            dist.barrier()
            if this_rank().rank == 0:
                raise ValueError("mapped")
            dist.barrier()


def share_and_die(name: str) -> None:
    shared_memory.SharedMemory(name, create=True, size=4096)
    os.kill(os.getpid(), signal.SIGKILL)


def allocate(count: int) -> int:
    return torch.zeros(count, dtype=torch.uint8).numel()


def fail(group: RankGroup, fn: Callable[..., Any], *args: object) -> RankGroupError:
    with pytest.raises(RankGroupError) as caught:
        group.run(fn, *args, where=lambda rank: f"dp{rank} of dp{group.world_size}")
    return caught.value


@pytest.mark.parametrize(
    ("act", "kind", "summary"),
    [
        ("raise", "exception", "rank 1 (dp1 of dp3) raised ValueError: no such thing"),
        ("sys.exit", "death", "rank 1 (dp1 of dp3) ended with exit status 3 before it returned"),
        ("os._exit", "death", "rank 1 (dp1 of dp3) ended with exit status 4 before it returned"),
        (
            "kill",
            "death",
            "rank 1 (dp1 of dp3) was killed by SIGKILL, perhaps by the kernel's out-of-memory killer",
        ),
        ("hang up", "death", "rank 1 (dp1 of dp3) closed its line to the controller"),
        ("crash", "death", "rank 1 (dp1 of dp3) was killed by SIGSEGV"),
        (
            "return nonsense",
            "exception",
            "rank 1 (dp1 of dp3) raised TypeError: the result, a function, cannot be sent",
        ),
    ],
)
def test_a_failing_rank_is_named_and_its_group_killed(
    cluster: Cluster, all_gone: AllGone, act: str, kind: str, summary: str
) -> None:
    group = cluster.group(3)
    error = fail(group, rank_one, act)
    assert (error.kind, error.ranks) == (kind, (1,))
    assert str(error).splitlines()[0].startswith(summary)
    assert f"about to {act}" in str(error)
    assert [report.pid for report in error.reports] == list(group.pids)
    assert all(
        f"--- rank {rank} (dp{rank} of dp3), pid {pid}: " in str(error) for rank, pid in enumerate(group.pids)
    )
    assert all_gone(*group.pids)
    assert not group.alive


def test_the_ranks_that_waited_show_where(cluster: Cluster) -> None:
    report = str(fail(cluster.group(3), rank_one, "raise"))
    assert report.count("still at work") == 2
    assert report.count("in barrier") == 2
    assert report.count("in rank_one") == 3
    assert "forking.py" not in report


def test_a_crash_shows_the_stack_of_the_crash(cluster: Cluster) -> None:
    [crashed] = [report for report in fail(cluster.group(3), rank_one, "crash").reports if report.rank == 1]
    assert "Segmentation fault" in crashed.stack
    assert "string_at" in crashed.stack


def test_every_ranks_traceback_is_told(cluster: Cluster) -> None:
    report = str(fail(cluster.group(3), all_ranks, "everything fails"))
    assert all(f"KeyError: 'everything fails on {rank}'" in report for rank in range(3))


def test_the_next_group_is_a_fresh_one(cluster: Cluster) -> None:
    killed = cluster.group(2)
    fail(killed, rank_one, "raise")
    with pytest.raises(RuntimeError, match="has ended"):
        killed.run(os.getpid)
    fresh = cluster.group(2)
    assert not set(fresh.pids) & set(killed.pids)
    assert fresh.run(os.getpid) == list(fresh.pids)


def test_other_groups_outlive_a_failure(cluster: Cluster) -> None:
    other = cluster.group(1)
    fail(cluster.group(2), rank_one, "kill")
    assert cluster.group(1) is other
    assert other.run(os.getpid) == list(other.pids)


def test_a_rank_that_dies_between_runs_is_replaced(cluster: Cluster, eventually: Eventually) -> None:
    group = cluster.group(2)
    os.kill(group.pids[1], signal.SIGKILL)
    assert eventually(group.lost)
    assert cluster.group(2).run(os.getpid) == list(cluster.group(2).pids)


@pytest.mark.parametrize("act", ["sleep", "stop"])
def test_silence_ends_after_the_timeout(
    impatient: Cluster, silence_s: float, all_gone: AllGone, act: str
) -> None:
    group = impatient.group(2)
    begin_s = time.monotonic()
    error = fail(group, rank_one, act)
    assert silence_s <= time.monotonic() - begin_s < HANG_S
    assert error.kind == "silence"
    assert 1 in error.ranks
    assert silent_for_s(error) > silence_s - 0.1  # which is said to a tenth
    assert "in barrier" in error.reports[0].stack
    if act == "sleep":
        assert "in rank_one" in error.reports[1].stack
    else:
        assert "stopped" in error.reports[1].process
    assert all_gone(*group.pids)


def silent_for_s(error: RankGroupError) -> float:
    said = re.search(r"silent for ([0-9.]+) s", str(error).splitlines()[0])
    assert said is not None
    return float(said[1])


def test_progress_is_no_silence(impatient: Cluster, silence_s: float) -> None:
    assert impatient.group(2).run(work_on, 1.75 * silence_s) == ["done", "done"]


def test_what_a_silent_rank_said_last_is_told(impatient: Cluster) -> None:
    error = fail(impatient.group(1), report_then_sleep)
    assert re.search(r'silent for [0-9.]+ s after "loading" 3 of 10', str(error))


def report_then_sleep() -> None:
    report_progress("loading", 3, 10)
    time.sleep(FOREVER_S)


def test_what_a_rank_started_ends_with_it(cluster: Cluster, all_gone: AllGone) -> None:
    error = fail(cluster.group(2), rank_one, "start others")
    last = int(str(error).splitlines()[0].rpartition(" ")[2])
    assert all_gone(last - 1, last)


def test_nothing_is_left_in_shared_memory_of_ranks_that_are_killed(cluster: Cluster) -> None:
    path = Path(f"/dev/shm/gpt-dist-test-{uuid.uuid4().hex}")
    fail(cluster.group(2), map_and_fail, str(path))
    assert not path.exists()


def test_nothing_is_left_in_shared_memory_of_a_rank_that_died(
    cluster: Cluster, eventually: Eventually
) -> None:
    name = f"gpt-dist-test-{uuid.uuid4().hex}"
    fail(cluster.group(1), share_and_die, name)
    assert eventually(lambda: not Path("/dev/shm", name).exists())


def test_out_of_memory_names_the_rank_the_bytes_and_what_to_lower(tmp_path: Path) -> None:
    config = ClusterConfig("cpu", memory_limit_bytes=2**27, log_dir=tmp_path)
    with Cluster(config) as cluster:
        assert cluster.group(2).run(allocate, 2**25) == [2**25] * 2
        error = fail(cluster.group(2), rank_one, "allocate")
    assert (error.kind, error.ranks) == ("memory", (1,))
    first = str(error).splitlines()[0]
    assert "ran out of memory: it wanted 1.00 GiB more; lower the batch size" in first
    assert "raise --gpt-memory-limit (now 128.00 MiB)" in first


def open_until_refused() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    kept = []
    while True:
        kept.append(os.open(os.devnull, os.O_RDONLY))


def test_a_rank_without_open_files_left_says_so_and_what_to_do(cluster: Cluster) -> None:
    with pytest.raises(RankGroupError, match=r"of at most 40 files are open: raise the limit \(ulimit -n\)"):
        cluster.group(1).run(open_until_refused)


def test_logs_are_kept_of_a_failed_group_only(scratch: Path) -> None:
    with Cluster(ClusterConfig("cpu")) as cluster:
        cluster.group(1).run(os.getpid)
        report = str(fail(cluster.group(2), rank_one, "raise"))
    [kept] = scratch.iterdir()
    [folder] = kept.iterdir()
    assert f"all that the ranks printed: {folder}" in report
    assert (folder / "rank1.log").read_text() == "about to raise\n"


def test_the_servers_death_is_told_and_survived(tmp_path: Path, all_gone: AllGone) -> None:
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster:
        group = cluster.group(2)
        error = fail(group, kill_parent)
        assert (error.kind, error.ranks) == ("death", ())
        assert "the server of the ranks ended with SIGKILL" in str(error)
        assert all_gone(*group.pids)
        assert cluster.group(2).run(os.getpid) == list(cluster.group(2).pids)


def kill_parent() -> None:
    if this_rank().rank == 0:
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(FOREVER_S)


def test_a_lambda_is_refused_in_one_line_before_anything_is_sent(cluster: Cluster) -> None:
    group = cluster.group(2)
    with pytest.raises(
        UsageError, match=r"a lambda cannot be sent to the ranks \(.*test_cluster_failures.py:\d+\)"
    ):
        group.run(lambda: None)
    assert group.run(os.getpid) == list(group.pids)


def test_an_argument_that_cannot_travel_is_named(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="argument 2 of allocate cannot be sent to the ranks: ") as caught:
        cluster.group(2).run(allocate, 1, lambda: None)
    assert "\n" not in str(caught.value)
