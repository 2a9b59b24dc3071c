"""The few things of Linux that Python has no words for."""

import ctypes
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pytest_gpt_dist.host.cgroups import memory_kills

_MOST_OOM_SCORE_ADJ = 1000
_PR_SET_PDEATHSIG = 1
_SHARED_MEMORY = "/dev/shm/"


def end_with_parent(parent: int, signum: signal.Signals) -> None:
    """Have the kernel send `signum` to this process when its parent, process `parent`, ends.

    The kernel means the *thread* that started this process: the caller sees to it that this one lives as
    long as its process. If the parent has gone already, the signal comes at once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent:
        signal.raise_signal(signum)


def go_first_when_out_of_memory(process: Path = Path("/proc/self")) -> None:
    """Have the kernel's out-of-memory killer take this process before the one that started it.

    Half of the memory is counted on top of what it uses; where the kernel has no such file, nothing changes.
    """
    file = process / "oom_score_adj"
    with suppress(OSError, ValueError):
        file.write_text(str(min(_MOST_OOM_SCORE_ADJ, int(file.read_text()) + _MOST_OOM_SCORE_ADJ // 2)))


def thread_names() -> list[str]:
    """Return the names of this process's threads, Python's and native ones."""
    return [Path(f"/proc/self/task/{tid}/comm").read_text().strip() for tid in os.listdir("/proc/self/task")]


def data_bytes() -> int:
    """Return the bytes of this process that RLIMIT_DATA counts: its private writable mappings."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmData line")


def process_state(pid: int) -> str:
    """Return what the kernel says a process is doing ("S (sleeping)"), "" when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line.split(maxsplit=1)[1] for line in lines if line.startswith("State:")), "")


def living_members(process_groups: Collection[int]) -> set[int]:
    """Return the processes of some process groups that have not ended; zombies have."""
    return {
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _lives_in(pid, process_groups)
    }


def _lives_in(pid: int, process_groups: Collection[int]) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # pid (name) state ppid pgrp …, and the name may hold anything
    state, _, group = stat.rpartition(")")[2].split()[:3]
    return int(group) in process_groups and state not in "ZX"


def out_of_memory_kills() -> int:
    """Return how often the kernel's out-of-memory killer has struck so far among this process and those around it.

    Where no control group counts that, on this machine.
    """
    if (kills := memory_kills()) is not None:
        return kills
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def shared_memory_files(maps: str) -> set[str]:
    """Return the files in /dev/shm that stand in the text of a /proc/<pid>/maps and still have their name."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if _SHARED_MEMORY in line}
    return {path for path in paths if path.startswith(_SHARED_MEMORY) and not path.endswith(" (deleted)")}


def mapped_shared_memory(pid: int) -> set[str]:
    """Return the files in /dev/shm that process `pid` has mapped; none when it is gone."""
    try:
        return shared_memory_files(Path(f"/proc/{pid}/maps").read_text())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()
