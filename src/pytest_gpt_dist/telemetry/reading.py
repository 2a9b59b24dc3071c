"""What one look at a machine finds, as plain values; None is what could not be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RankReading:
    """The process of a rank: its resident memory, and counters since it began; one that has gone tells nothing.

    Processor time is that of all its threads, user and system; context switches are the main thread's.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None


@dataclass(frozen=True, slots=True)
class HostReading:
    """The machine with ``cores`` cores: the share of its memory in use, and counters since some time past.

    ``busy_s`` adds up the cores, time that a hypervisor took from them included; ``owned_busy_s`` the
    ``owned_cores`` alone, those of the ranks. For ``throttled_s`` a container's limit kept threads from cores.
    ``energy_j`` is that of the processors' packages; the network is that of cards, or of all interfaces but
    loopback where there are none.
    """

    cores: int
    busy_s: float | None = None
    owned_cores: int = 0
    owned_busy_s: float | None = None
    throttled_s: float | None = None
    memory_share: float | None = None
    swapped_in_bytes: int | None = None
    swapped_out_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    """A process on a GPU that is none of this session's; the name of one that has gone is None."""

    pid: int
    name: str | None

    def __str__(self) -> str:
        return f"pid {self.pid}" if self.name is None else f"pid {self.pid} ({self.name})"


@dataclass(frozen=True, slots=True)
class GpuReading:
    """The GPU with NVML's number ``index``; energy and bytes are counters.

    ``utilization`` is the share of time in which any kernel ran. ``throttling`` names what keeps the clocks
    down, ``power cap`` among it; ``strangers`` are None where the driver tells no processes, or those of another
    pid namespace.
    """

    index: int
    utilization: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    energy_j: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    temperature_c: float | None = None
    throttling: tuple[str, ...] | None = None
    nvlink_sent_bytes: int | None = None
    nvlink_received_bytes: int | None = None
    pcie_sent_bytes: int | None = None
    pcie_received_bytes: int | None = None
    strangers: tuple[Stranger, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look, at ``at_s`` of the monotonic clock."""

    at_s: float
    ranks: tuple[RankReading, ...]
    host: HostReading
    gpus: tuple[GpuReading, ...] = ()
