"""What limits containers and services put on this process (control groups).

Version 2, and of version 1 what is needed to say why a process was ended or none could be started.
"""

from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNIFIED = "0::"
_NO_LIMIT_BYTES = 2**60
"""Version 1 writes a number of about 2**63 for none."""


def cpu_limit(groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """Return of how many cores the time may be used: the least of the limits, None where there is none."""
    limits = [limit for group in _groups(groups, own) if (limit := _limit(group / "cpu.max")) is not None]
    return min(limits, default=None)


def throttled_s(groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """Return for how long the nearest limit has kept threads from their cores so far, added up over cores.

    A limit above this process's own group holds for others, too, and so do its threads. None where there is no limit.
    """
    limited = [group for group in _groups(groups, own) if _limit(group / "cpu.max") is not None]
    return _throttled_s(limited[-1] / "cpu.stat") if limited else None


def memory_left_bytes(groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """Return how much more memory the limits leave, the least of them; None where there is none.

    Files that the kernel keeps in memory and nobody reads do not count, for it lets go of them.
    """
    left = [bytes_ for group in _groups(groups, own) if (bytes_ := _memory_left_bytes(group)) is not None]
    return min(left, default=None)


def memory_limit_bytes(groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """Return how much memory this process and those around it may have, the least of the limits; None without one."""
    files = [group / "memory.max" for group in _groups(groups, own)]
    files += [group / "memory.limit_in_bytes" for group in _groups_of("memory", groups, own)]
    limits = [limit for file in files if (limit := _number(file)) is not None and limit < _NO_LIMIT_BYTES]
    return min(limits, default=None)


def memory_kills(groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """Return how many processes of this group were killed for want of memory; None where nobody counts them."""
    files = [group / "memory.oom_control" for group in _groups_of("memory", groups, own)]
    files += [group / "memory.events" for group in _groups(groups, own)]
    counts = [kills for file in files if (kills := _counted(file).get("oom_kill")) is not None]
    return counts[-1] if counts else None


def processes_of_groups(groups: Path = _GROUPS, own: Path = _OWN) -> Iterator[tuple[int, int]]:
    """Yield, of each group with a limit of processes and threads, how many there are, and how many there may be."""
    for group in (*_groups(groups, own), *_groups_of("pids", groups, own)):
        running, most = _number(group / "pids.current"), _number(group / "pids.max")
        if running is not None and most is not None:
            yield running, most


def _groups(groups: Path, own: Path) -> Iterator[Path]:
    """Yield the group of this process and all above it, as far as they are visible; in a container that may be one."""
    path = next((line[len(_UNIFIED) :] for line in _lines(own) if line.startswith(_UNIFIED)), "/")
    yield from _down(groups, path)


def _groups_of(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """As _groups, in the tree that a controller has in version 1; nothing where it has none."""
    lines = (line.split(":", 2) for line in _lines(own))
    for path in (each[2] for each in lines if len(each) == 3 and controller in each[1].split(",")):
        yield from _down(groups / controller, path)


def _down(groups: Path, path: str) -> Iterator[Path]:
    yield groups
    for part in path.strip("/").split("/"):
        if part in ("", ".."):
            return
        groups = groups / part
        yield groups


def _limit(file: Path) -> float | None:
    """Return the cores of a cpu.max: ``max 100000`` or, in microseconds, ``QUOTA PERIOD``."""
    fields = " ".join(_lines(file)).split()
    if len(fields) != 2 or not all(map(str.isdigit, fields)):
        return None
    quota_us, period_us = map(int, fields)
    return quota_us / period_us if period_us else None


def _throttled_s(file: Path) -> float | None:
    throttled_us = _counted(file).get("throttled_usec")
    return None if throttled_us is None else throttled_us / 1e6


def _memory_left_bytes(group: Path) -> int | None:
    limit, used = (" ".join(_lines(group / f"memory.{name}")) for name in ("max", "current"))
    if not (limit.isdigit() and used.isdigit()):
        return None
    return max(0, int(limit) - int(used) + _counted(group / "memory.stat").get("inactive_file", 0))


def _number(file: Path) -> int | None:
    """Return the one in a file; None where there is none, or "max"."""
    text = " ".join(_lines(file))
    return int(text) if text.isdigit() else None


def _counted(file: Path) -> dict[str, int]:
    fields = (line.split() for line in _lines(file))
    return {each[0]: int(each[1]) for each in fields if len(each) == 2 and each[1].isdigit()}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
