"""What ranks need of this machine: looked at by `gpt-dist doctor`, and again where ranks could not start."""

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist.host.cgroups import memory_left_bytes, processes_of_groups

LOOPBACK = "127.0.0.1"
CONNECT_S = 4.0
"""How long a connection to this machine itself may take, at the longest."""
_GIB = 2**30
_LEAST_MEMORY_BYTES = _GIB // 2
_LEAST_OPEN_FILES = 32
_LEAST_PROCESSES = 32
"""Of processes and threads: each rank has a dozen threads."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What was looked at, what was seen, and what to do about it, "" where ranks can start."""

    subject: str
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.seen}: {self.remedy}" if self.remedy else self.seen


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Bytes of memory: the machine's, what of it is free, and what a limit leaves; None where no limit is nearer."""

    total: int
    available: int
    left: int | None

    @property
    def usable(self) -> int:
        """What new processes may take."""
        return self.available if self.left is None else self.left

    def __str__(self) -> str:
        limit = "" if self.left is None else f", of which a limit leaves {self.left / _GIB:.1f}"
        return f"{self.available / _GIB:.1f} of {self.total / _GIB:.1f} GiB free{limit}"


def unmet(timeout_s: float) -> list[Precondition]:
    """Return what keeps ranks from starting on this machine, as far as it can be seen, in less than a time."""
    looks: tuple[Callable[[], Precondition], ...] = (
        open_files,
        processes,
        lambda: enough_memory(free_memory(Path("/proc/meminfo").read_text(), memory_left_bytes())),
        lambda: meeting_place(timeout_s=timeout_s),
    )
    found = []
    for look in looks:
        with suppress(Exception):  # the failure that this is to explain is the one to tell of
            found.append(look())
        if found and found[-1].remedy and found[-1].subject == "open files":
            break  # whatever else is looked at needs files, too
    return [each for each in found if each.remedy]


def meeting_place(address: str = LOOPBACK, timeout_s: float = CONNECT_S) -> Precondition:
    """Whether processes can meet at a port of an address, as ranks do; really opens one."""
    subject = "ports"
    no_port = "end what holds so many, or widen net.ipv4.ip_local_port_range"
    no_way = "bring up the loopback interface (ip link set lo up), or have the firewall let ranks meet there"
    try:
        server = socket.create_server((address, 0))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EADDRINUSE:
            return Precondition(subject, f"{address} has no free port ({why})", no_port)
        return Precondition(subject, f"{address} takes no connections ({why})", no_way)
    with server:
        port = server.getsockname()[1]
        try:
            with socket.create_connection((address, port), timeout=min(CONNECT_S, timeout_s)):
                return Precondition(subject, f"{address} takes connections, at {port} for one")
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno == errno.EADDRNOTAVAIL:
                return Precondition(
                    subject, f"{address} has no free port to connect to port {port} from ({why})", no_port
                )
            return Precondition(subject, f"{address} takes no connections at port {port} ({why})", no_way)


def open_files() -> Precondition:
    """Whether this process may open as many files as a group of ranks needs."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opened = len(os.listdir("/proc/self/fd"))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        opened = most
    return enough_open_files(opened, most)


def enough_open_files(opened: int, most: int) -> Precondition:
    """Whether more files can be opened than these, of at most so many; pure."""
    if most == resource.RLIM_INFINITY:
        return Precondition("open files", f"{opened}, without a limit")
    seen = f"{opened} of at most {most} files are open"
    short = most - opened < _LEAST_OPEN_FILES
    return Precondition("open files", seen, "raise the limit (ulimit -n)" if short else "")


def processes() -> Precondition:
    """Whether this user and the control groups of this process may have more processes."""
    counts = list(processes_of_groups())
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if most != resource.RLIM_INFINITY and os.getuid() != 0:  # which root is above
        counts.append((sum(_threads_of_user(os.getuid())), most))
    return enough_processes(counts)


def enough_processes(counts: Sequence[tuple[int, int]]) -> Precondition:
    """Whether more processes and threads can be started, by pairs of how many run, and may at most; pure."""
    if not counts:
        return Precondition("processes", "without a limit")
    running, most = min(counts, key=lambda count: count[1] - count[0])
    seen = f"{running} of at most {most} processes and threads run"
    remedy = "end some, or raise the limit (ulimit -u, or that of the container)"
    return Precondition("processes", seen, remedy if most - running < _LEAST_PROCESSES else "")


def free_memory(meminfo: str, left_bytes: int | None) -> FreeMemory:
    """Return what is free, from the text of ``/proc/meminfo`` and what a container's limit leaves; pure."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    available, total = (int(fields[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))
    nearer = left_bytes is not None and left_bytes < available
    return FreeMemory(total, available, left_bytes if nearer else None)


def enough_memory(memory: FreeMemory) -> Precondition:
    """Whether ranks without a model fit into what is free; pure."""
    short = memory.usable < _LEAST_MEMORY_BYTES
    return Precondition("memory", str(memory), "close what else runs, or raise the limit" if short else "")


def _threads_of_user(uid: int) -> Iterator[int]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, ValueError, KeyError):
            text = Path("/proc", pid, "status").read_text(errors="replace")
            fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            if int(fields["Uid"].split()[0]) == uid:
                yield int(fields["Threads"])
