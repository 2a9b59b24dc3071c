"""What limits containers and services put on this process (control groups, version 2)."""

from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNIFIED = "0::"


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


def _groups(groups: Path, own: Path) -> Iterator[Path]:
    """The group of this process and all above it, as far as they are visible; in a container that may be one."""
    yield groups
    path = next((line[len(_UNIFIED) :] for line in _lines(own) if line.startswith(_UNIFIED)), "/")
    for part in path.strip("/").split("/"):
        if part in ("", ".."):
            return
        groups = groups / part
        yield groups


def _limit(file: Path) -> float | None:
    """That of a cpu.max: ``max 100000`` or, in microseconds, ``QUOTA PERIOD``."""
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


def _counted(file: Path) -> dict[str, int]:
    fields = (line.split() for line in _lines(file))
    return {each[0]: int(each[1]) for each in fields if len(each) == 2 and each[1].isdigit()}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
