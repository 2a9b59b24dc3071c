"""The processes of ranks, as the kernel accounts for them."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from pytest_gpt_dist.telemetry.optional import told
from pytest_gpt_dist.telemetry.reading import RankReading


class Processes:
    """Reads the processes with these ids; what is not told, and all of one that has gone, is None."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes = [told(psutil.Process, pid) for pid in pids]

    def read(self) -> tuple[RankReading, ...]:
        """Each process now."""
        return tuple(RankReading() if process is None else _read(process) for process in self._processes)


def session_pids() -> frozenset[int]:
    """Return this process and all that it started, directly or not, and that still run."""
    own = psutil.Process()
    return frozenset({own.pid, *(child.pid for child in own.children(recursive=True))})


def process_name(pid: int) -> str | None:
    """Return the name of a process; None where it has gone, or is another user's and hidden."""
    return told(lambda: psutil.Process(pid).name())


def _read(process: psutil.Process) -> RankReading:
    times, switches = told(process.cpu_times), told(process.num_ctx_switches)
    memory = told(process.memory_info)
    return RankReading(
        cpu_s=None if times is None else times.user + times.system,
        memory_bytes=None if memory is None else memory.rss,
        voluntary_switches=None if switches is None else switches.voluntary,
        involuntary_switches=None if switches is None else switches.involuntary,
    )
