"""GPUs as NVML sees them; CUDA stays untouched."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import suppress
from typing import Any

import pynvml

from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.telemetry.optional import told
from pytest_gpt_dist.telemetry.processes import process_name
from pytest_gpt_dist.telemetry.reading import GpuReading, Stranger

THROTTLING = {
    pynvml.nvmlClocksEventReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
}
"""What keeps clocks down, by NVML's bit; clocks that a user has set, and those of an idle GPU, are none of it."""
_ALL_LINKS = 0xFFFFFFFF
_COUNTERS = (
    (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _ALL_LINKS, 1024),
    (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _ALL_LINKS, 1024),
    (pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0, 1),
    (pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0, 1),
)
"""Field, scope, and the bytes of its unit. Unlike ``nvmlDeviceGetPcieThroughput`` they do not take 20 ms each."""
_LATELY_S = 2.0
"""Drivers sample what each process does about once a second."""
_MEMBERS = {
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
}


class Gpus:
    """Reads GPUs; what one does not tell, and all of one that is lost, is None.

    ``session_pids`` tells the session's processes; it is asked again when an unknown one appears, for an engine
    may start some of its own.
    """

    def __init__(self, gpus: Sequence[Gpu], session_pids: Callable[[], Collection[int]]) -> None:
        self._session_pids = session_pids
        self._own: set[int] = set()
        self._names: dict[int, str | None] = {}
        self._ready = False
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._ready = True
        self._handles = {gpu.index: _ask("nvmlDeviceGetHandleByUUID", gpu.uuid) for gpu in gpus}

    def read(self) -> tuple[GpuReading, ...]:
        """Each GPU now."""
        return tuple(self._read(index, handle) for index, handle in self._handles.items())

    def close(self) -> None:
        """Let go of NVML."""
        if self._ready:
            self._ready = False
            pynvml.nvmlShutdown()

    def _read(self, index: int, handle: Any) -> GpuReading:
        if handle is None:
            return GpuReading(index)
        rates = _ask("nvmlDeviceGetUtilizationRates", handle)
        memory = _ask("nvmlDeviceGetMemoryInfo", handle)
        sent, received, pcie_sent, pcie_received = told(_counters, handle) or [None] * len(_COUNTERS)
        return GpuReading(
            index=index,
            utilization=None if rates is None else rates.gpu / 100,
            memory_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            power_w=_scaled(1e-3, "nvmlDeviceGetPowerUsage", handle),
            energy_j=_scaled(1e-3, "nvmlDeviceGetTotalEnergyConsumption", handle),
            sm_clock_hz=_scaled(1e6, "nvmlDeviceGetClockInfo", handle, pynvml.NVML_CLOCK_SM),
            memory_clock_hz=_scaled(1e6, "nvmlDeviceGetClockInfo", handle, pynvml.NVML_CLOCK_MEM),
            temperature_c=_scaled(1, "nvmlDeviceGetTemperature", handle, pynvml.NVML_TEMPERATURE_GPU),
            throttling=_throttling(handle),
            nvlink_sent_bytes=sent,
            nvlink_received_bytes=received,
            pcie_sent_bytes=pcie_sent,
            pcie_received_bytes=pcie_received,
            strangers=told(self._strangers, handle),
        )

    def _strangers(self, handle: Any) -> tuple[Stranger, ...] | None:
        running = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        unknown = running - self._own - set(self._names)
        if unknown:
            self._own |= set(self._session_pids())
            self._names |= {pid: process_name(pid) for pid in unknown - self._own}
        worked = told(_worked, handle) if running - self._own else None
        pids = foreign(running, self._own, worked or set())
        return None if pids is None else tuple(Stranger(pid, self._names[pid]) for pid in pids)


def foreign(running: Set[int], own: Set[int], worked: Set[int]) -> tuple[int, ...] | None:
    """Which processes of a GPU are not the session's own; None where that cannot be told.

    In a container the driver may give the host's pids. So where none is known, nothing is said of any. Where
    those that ``worked`` of late include one of the session's, what only holds a context is left out.
    """
    if running and not running & own:
        return None
    others = running - own
    return tuple(sorted(others & worked if worked & own else others))


def _worked(handle: Any) -> set[int]:
    """Return the processes whose kernels ran within the last ``_LATELY_S``; NVMLError where it samples none."""
    since_us = int((time.time() - _LATELY_S) * 1e6)
    samples = pynvml.nvmlDeviceGetProcessUtilization(handle, since_us)
    return {sample.pid for sample in samples if sample.smUtil > 0}


def _ask(name: str, *args: Any) -> Any:
    """NVML's answer; None where the card, the driver or this version of its binding has no such function."""
    return told(lambda: getattr(pynvml, name)(*args))


def _scaled(factor: float, name: str, *args: Any) -> float | None:
    value = _ask(name, *args)
    return None if value is None else value * factor


def _throttling(handle: Any) -> tuple[str, ...] | None:
    bits = _ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:
        bits = _ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)  # its name in drivers before 535
    if bits is None:
        return None
    return tuple(dict.fromkeys(name for bit, name in THROTTLING.items() if bits & bit))


def _counters(handle: Any) -> list[int | None]:
    values = pynvml.nvmlDeviceGetFieldValues(handle, [(field, scope) for field, scope, _ in _COUNTERS])
    return [
        int(getattr(each.value, _MEMBERS[each.valueType])) * unit
        if each.nvmlReturn == pynvml.NVML_SUCCESS and each.valueType in _MEMBERS
        else None
        for each, (_, _, unit) in zip(values, _COUNTERS, strict=True)
    ]
