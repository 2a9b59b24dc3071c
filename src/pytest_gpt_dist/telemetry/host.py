"""The machine as a whole: processors, memory, swap, disks, network."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

import psutil

from pytest_gpt_dist.host.cgroups import throttled_s
from pytest_gpt_dist.telemetry.energy import PackageEnergy
from pytest_gpt_dist.telemetry.optional import told
from pytest_gpt_dist.telemetry.reading import HostReading

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Which figures of a core are not idle: user, nice, system, irq, softirq, steal. Guests are in the first two."""
_VMSTAT = Path("/proc/vmstat")
_DISKS = Path("/sys/block")
_INTERFACES = Path("/sys/class/net")
_LOOPBACK = "lo"


class Host:
    """Reads this machine; what a kernel or a sandbox does not show is None, each figure on its own.

    ``owned`` are the numbers of the cores that ranks own, if they do.
    """

    def __init__(self, owned: Set[int] = frozenset()) -> None:
        self._owned = owned
        self._packages = PackageEnergy()
        self._cores = psutil.cpu_count() or 1

    def read(self) -> HostReading:
        """Return the machine now."""
        swapped_in, swapped_out = told(_swapped_bytes) or (None, None)
        disk_read, disk_written = told(_disk_bytes) or (None, None)
        received, sent = told(_network_bytes) or (None, None)
        return HostReading(
            cores=self._cores,
            busy_s=told(_busy_s),
            owned_cores=len(self._owned),
            owned_busy_s=told(_owned_busy_s, self._owned),
            throttled_s=told(throttled_s),
            memory_share=told(_memory_share),
            swapped_in_bytes=swapped_in,
            swapped_out_bytes=swapped_out,
            disk_read_bytes=disk_read,
            disk_written_bytes=disk_written,
            network_received_bytes=received,
            network_sent_bytes=sent,
            energy_j=told(self._packages.read),
        )


def _busy_s() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def _owned_busy_s(owned: Set[int]) -> float | None:
    """As ``_busy_s``, of some cores; psutil does not tell which core a figure is of where some are offline."""
    fields = [line.split() for line in _STAT.read_text().splitlines()]
    ticks = {name: list(map(int, counted)) for name, *counted in fields if name.startswith("cpu")}
    busy = [sum(ticks[f"cpu{core}"][place] for place in _BUSY) for core in owned]
    return sum(busy) / os.sysconf("SC_CLK_TCK") if busy else None


def _memory_share() -> float:
    memory = psutil.virtual_memory()
    return 1 - memory.available / memory.total


def _swapped_bytes() -> tuple[int, int]:
    counted = dict(line.split(maxsplit=1) for line in _VMSTAT.read_text().splitlines())
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return int(counted["pswpin"]) * page_bytes, int(counted["pswpout"]) * page_bytes


def _disk_bytes() -> tuple[int, int] | None:
    disks = psutil.disk_io_counters(perdisk=True)
    # Volumes, encrypted or striped disks and files mounted as disks count again what a disk below them counted.
    counted = [disks[name] for name in disks if (_DISKS / name / "device").exists()] or list(disks.values())
    if not counted:
        return None
    return sum(each.read_bytes for each in counted), sum(each.write_bytes for each in counted)


def _network_bytes() -> tuple[int, int]:
    interfaces = psutil.net_io_counters(pernic=True)
    outside = [name for name in interfaces if name != _LOOPBACK]
    # Bonds, bridges and the host's ends of containers count again what a card counted.
    cards = [name for name in outside if (_INTERFACES / name / "device").exists()]
    counted = [interfaces[name] for name in cards or outside]
    return sum(each.bytes_recv for each in counted), sum(each.bytes_sent for each in counted)
