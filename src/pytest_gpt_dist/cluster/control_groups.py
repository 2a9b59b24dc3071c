"""What limits containers and services put on this process's processor time (control groups, version 2)."""

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
    """Return for how long limits have kept threads from their cores so far, added up over cores.

    None where the kernel does not tell.
    """
    told = [time for group in _groups(groups, own) if (time := _throttled_s(group / "cpu.stat")) is not None]
    return sum(told) if told else None


def _groups(groups: Path, own: Path) -> Iterator[Path]:
    """The group of this process and all above it, as far as they are visible; in a container that may be one."""
    yield groups
    path = next((line[len(_UNIFIED) :] for line in _lines(own) if line.startswith(_UNIFIED)), "/")
    for part in path.strip("/").split("/"):
        groups = groups / part
        if part in ("", "..") or not groups.is_dir():
            return
        yield groups


def _limit(file: Path) -> float | None:
    """That of a cpu.max: ``max 100000`` or, in microseconds, ``QUOTA PERIOD``."""
    fields = " ".join(_lines(file)).split()
    if len(fields) != 2 or not all(map(str.isdigit, fields)):
        return None
    quota_us, period_us = map(int, fields)
    return quota_us / period_us if period_us else None


def _throttled_s(file: Path) -> float | None:
    counted = dict(line.split() for line in _lines(file) if len(line.split()) == 2)
    return int(counted["throttled_usec"]) / 1e6 if "throttled_usec" in counted else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
