"""Looks at this very machine, and at GPUs that a stand-in for NVML pretends."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.telemetry import host
from pytest_gpt_dist.telemetry.energy import PackageEnergy
from pytest_gpt_dist.telemetry.host import Host
from pytest_gpt_dist.telemetry.nvml import Gpus, foreign
from pytest_gpt_dist.telemetry.processes import Processes, process_name, session_pids
from pytest_gpt_dist.telemetry.reading import GpuReading, HostReading, RankReading, Stranger
from pytest_gpt_dist.telemetry.source import MachineSource

GPU = Gpu(3, "GPU-1", "H200", 2**37)
PIDS = st.sets(st.integers(1, 9))
OWN, OTHER, ENGINE = 4_000_001, 4_000_002, 4_000_003  # beyond what Linux gives a process


def test_a_process_is_read_and_one_that_has_gone_is_missing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    processes = Processes([os.getpid(), child.pid])
    first, living = processes.read()
    assert (living.memory_bytes or 0) > 0
    child.communicate(b"\n")
    sum(number * number for number in range(10**6))
    second, gone = processes.read()
    assert gone == RankReading()
    assert (second.cpu_s or 0) >= (first.cpu_s or 0) > 0
    assert (second.voluntary_switches or 0) > (first.voluntary_switches or 0)
    assert Processes([child.pid]).read() == (RankReading(),)


def test_what_the_kernel_does_not_tell_of_a_process_is_missing_on_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: psutil.Process) -> None:
        raise NotImplementedError("no switches in /proc")

    monkeypatch.setattr(psutil.Process, "num_ctx_switches", unknown)
    (found,) = Processes([os.getpid()]).read()
    assert found.voluntary_switches is found.involuntary_switches is None
    assert None not in (found.cpu_s, found.memory_bytes)


def test_what_a_session_started_is_its_own() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= session_pids()
    finally:
        child.communicate(b"\n")
    assert child.pid not in session_pids()
    assert process_name(OTHER) is None


def test_the_host_tells_of_itself() -> None:
    before, after = Host().read(), Host().read()
    assert before.cores >= 1
    assert before.busy_s is not None
    assert after.busy_s is not None
    assert after.busy_s >= before.busy_s > 0
    assert before.memory_share is not None
    assert 0 < before.memory_share < 1


def test_the_cores_of_ranks_are_counted_by_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hundredth_s = 1 / os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  9 9 9 9 9 9 9 9 9 9\n"
        "cpu0 1 2 4 1000 1000 8 16 32 1000 1000\n"
        "cpu3 100 0 0 1000 0 0 0 0 0 0\n"  # 1 and 2 are offline
        "intr 5\n"
    )
    monkeypatch.setattr(host, "_STAT", stat)
    assert Host({0}).read().owned_busy_s == pytest.approx(63 * hundredth_s)
    assert Host({0, 3}).read().owned_busy_s == pytest.approx(163 * hundredth_s)
    assert Host({0, 1}).read().owned_busy_s is None
    assert Host().read().owned_busy_s is None


@pytest.mark.parametrize("error", [NotImplementedError, RuntimeError, RuntimeWarning, PermissionError])
def test_what_the_host_does_not_show_is_missing_on_its_own(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def hidden(**_: Any) -> None:
        raise error("no /proc/diskstats")

    monkeypatch.setattr(psutil, "disk_io_counters", hidden)
    monkeypatch.setattr(host, "_VMSTAT", Path("/nowhere"))
    found = Host().read()
    assert found.disk_read_bytes is found.disk_written_bytes is found.swapped_in_bytes is None
    assert found.busy_s is not None


def counted(**received: int) -> Callable[..., dict[str, SimpleNamespace]]:
    """Interfaces that received so many bytes, and sent twice as many."""
    found = {name: SimpleNamespace(bytes_recv=each, bytes_sent=2 * each) for name, each in received.items()}
    return lambda **_: found


def test_bytes_on_the_network_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("eth0", "eth1"):
        (tmp_path / name / "device").mkdir(parents=True)
    monkeypatch.setattr(host, "_INTERFACES", tmp_path)
    monkeypatch.setattr(psutil, "net_io_counters", counted(lo=1, eth0=10, eth1=100, bond0=110, veth3=1000))
    found = Host().read()
    assert (found.network_received_bytes, found.network_sent_bytes) == (110, 220)
    monkeypatch.setattr(psutil, "net_io_counters", counted(lo=1, veth3=1000))  # as in a container
    assert Host().read().network_received_bytes == 1000


def test_bytes_on_a_disk_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(**written: int) -> Callable[..., dict[str, SimpleNamespace]]:
        found = {
            name: SimpleNamespace(read_bytes=2 * each, write_bytes=each) for name, each in written.items()
        }
        return lambda **_: found

    (tmp_path / "nvme0n1" / "device").mkdir(parents=True)
    (tmp_path / "dm-0").mkdir()
    monkeypatch.setattr(host, "_DISKS", tmp_path)
    monkeypatch.setattr(psutil, "disk_io_counters", counted(**{"nvme0n1": 10, "nvme0n1p1": 9, "dm-0": 9}))
    found = Host().read()
    assert (found.disk_read_bytes, found.disk_written_bytes) == (20, 10)
    monkeypatch.setattr(psutil, "disk_io_counters", counted(overlay=7))
    assert Host().read().disk_written_bytes == 7
    monkeypatch.setattr(psutil, "disk_io_counters", counted())
    assert Host().read().disk_written_bytes is None


def package(folder: Path, number: int, *, name: str = "package-0") -> Path:
    zone = folder / f"intel-rapl:{number}"
    zone.mkdir()
    (zone / "name").write_text(f"{name}\n")
    (zone / "max_energy_range_uj").write_text("10000000\n")
    return zone


def test_the_energy_of_packages_goes_on_when_counters_start_over(tmp_path: Path) -> None:
    zones = [package(tmp_path, number) for number in range(2)]
    package(tmp_path, 2, name="psys")
    energy = PackageEnergy(tmp_path)
    found = []
    for first_uj, second_uj in ((9_000_000, 1_000_000), (1_000_000, 2_000_000), (4_000_000, 2_500_000)):
        for zone, counted_uj in zip(zones, (first_uj, second_uj), strict=True):
            (zone / "energy_uj").write_text(f"{counted_uj}\n")
        found.append(energy.read())
    assert found == pytest.approx([0.0, 2.0 + 1.0, 5.0 + 1.5])


def test_packages_that_do_not_tell_have_no_energy(tmp_path: Path) -> None:
    assert PackageEnergy(tmp_path).read() is None
    package(tmp_path, 0)
    assert PackageEnergy(tmp_path).read() is None


@settings(deadline=None)
@given(running=PIDS, own=PIDS, worked=PIDS)
def test_strangers_are_told_where_own_processes_are_seen(
    running: set[int], own: set[int], worked: set[int]
) -> None:
    found = foreign(running, own, worked)
    if running and not own & running:
        assert found is None
    elif not worked & own:
        assert found == tuple(sorted(running - own))
    else:
        assert found == tuple(sorted((running - own) & worked))


def refuse(*_: Any) -> Any:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def processes(*pids: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid) for pid in pids]


def samples(shares: dict[int, int]) -> list[SimpleNamespace]:
    """What processes took of a GPU, in percent."""
    return [SimpleNamespace(pid=pid, smUtil=share) for pid, share in shares.items()]


def field(value: int, *, told: int = pynvml.NVML_SUCCESS) -> SimpleNamespace:
    return SimpleNamespace(
        nvmlReturn=told,
        valueType=pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
        value=SimpleNamespace(ullVal=value),
    )


def own_pids() -> set[int]:
    return {OWN}


ANSWERS: dict[str, Callable[..., Any]] = {
    "nvmlInit": lambda: None,
    "nvmlShutdown": lambda: None,
    "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
    "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=75),
    "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=30, total=40),
    "nvmlDeviceGetPowerUsage": lambda _: 350_000,
    "nvmlDeviceGetTotalEnergyConsumption": lambda _: 2_500,
    "nvmlDeviceGetClockInfo": lambda _, kind: {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 3201}[kind],
    "nvmlDeviceGetTemperature": lambda _, sensor: 61,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda _: (
        pynvml.nvmlClocksEventReasonSwThermalSlowdown
        | pynvml.nvmlClocksEventReasonHwThermalSlowdown
        | pynvml.nvmlClocksEventReasonSwPowerCap
        | pynvml.nvmlClocksEventReasonGpuIdle
    ),
    "nvmlDeviceGetFieldValues": lambda _, fields: [
        *(field(3), field(4), field(5), field(6, told=pynvml.NVML_ERROR_NOT_SUPPORTED)),
    ],
    "nvmlDeviceGetComputeRunningProcesses": lambda _: processes(OWN, OTHER),
    "nvmlDeviceGetProcessUtilization": lambda _, since_us: samples({OWN: 90, OTHER: 5}),
}
TOLD = GpuReading(
    index=GPU.index,
    utilization=0.75,
    memory_bytes=30,
    memory_total_bytes=40,
    power_w=350.0,
    energy_j=2.5,
    sm_clock_hz=1.98e9,
    memory_clock_hz=3.201e9,
    temperature_c=61.0,
    throttling=("power cap", "thermal"),
    nvlink_sent_bytes=3 * 1024,
    nvlink_received_bytes=4 * 1024,
    pcie_sent_bytes=5,
    pcie_received_bytes=None,
    strangers=(Stranger(OTHER, None),),
)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with one GPU, on which a process of somebody else runs beside ours."""
    for name, answer in ANSWERS.items():
        monkeypatch.setattr(pynvml, name, answer)
    return monkeypatch


@pytest.mark.usefixtures("nvml")
def test_a_gpu_is_read_in_the_units_of_its_fields() -> None:
    (found,) = Gpus([GPU], own_pids).read()
    assert found == TOLD


@pytest.mark.parametrize(
    "name",
    sorted(
        set(ANSWERS)
        - {"nvmlInit", "nvmlShutdown", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetProcessUtilization"}
    ),
)
def test_what_a_card_does_not_have_is_missing_and_nothing_else(nvml: pytest.MonkeyPatch, name: str) -> None:
    nvml.setattr(pynvml, name, refuse)
    (found,) = Gpus([GPU], own_pids).read()
    missing = [one is None for one in astuple(found)]
    assert 1 <= missing.count(True) - [one is None for one in astuple(TOLD)].count(True) <= 4
    assert any(one is not None for one in astuple(found))


@pytest.mark.parametrize("name", sorted(name for name in ANSWERS if name.startswith("nvmlDeviceGet")))
def test_a_function_that_the_binding_dropped_is_missing_and_nothing_else(
    nvml: pytest.MonkeyPatch, name: str
) -> None:
    nvml.delattr(pynvml, name)
    assert isinstance(MachineSource([os.getpid()], [GPU], set()).read().host.busy_s, float)


@pytest.mark.usefixtures("nvml")
def test_older_drivers_say_throttling_by_another_name(nvml: pytest.MonkeyPatch) -> None:
    answer = ANSWERS["nvmlDeviceGetCurrentClocksEventReasons"]
    nvml.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", refuse)
    nvml.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", answer)
    assert Gpus([GPU], own_pids).read() == (TOLD,)


def test_a_process_that_only_holds_a_context_is_no_stranger(nvml: pytest.MonkeyPatch) -> None:
    nvml.setattr(pynvml, "nvmlDeviceGetProcessUtilization", lambda *_: samples({OWN: 90, OTHER: 0}))
    (found,) = Gpus([GPU], own_pids).read()
    assert found.strangers == ()


@pytest.mark.parametrize("answer", [refuse, lambda *_: [], lambda *_: samples({7: 50})])
def test_where_the_work_of_processes_is_not_told_every_context_counts(
    nvml: pytest.MonkeyPatch, answer: Callable[..., Any]
) -> None:
    nvml.setattr(pynvml, "nvmlDeviceGetProcessUtilization", answer)
    assert Gpus([GPU], own_pids).read() == (TOLD,)


def test_what_an_engine_starts_is_the_sessions_own(nvml: pytest.MonkeyPatch) -> None:
    session, asked = [OWN], []

    def ask() -> set[int]:
        asked.append(tuple(session))
        return set(session)

    nvml.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: processes(*session))
    gpus = Gpus([GPU], ask)
    assert gpus.read()[0].strangers == gpus.read()[0].strangers == ()
    session.append(ENGINE)
    assert gpus.read()[0].strangers == gpus.read()[0].strangers == ()
    assert asked == [(OWN,), (OWN, ENGINE)]


def test_a_gpu_that_is_lost_midway_has_no_figures(nvml: pytest.MonkeyPatch) -> None:
    gpus = Gpus([GPU], own_pids)
    assert gpus.read() == (TOLD,)
    for name in ANSWERS:
        if name.startswith("nvmlDeviceGet"):
            nvml.setattr(pynvml, name, refuse)
    assert gpus.read() == (GpuReading(GPU.index),)


def test_without_a_driver_there_are_no_figures(nvml: pytest.MonkeyPatch) -> None:
    nvml.setattr(pynvml, "nvmlInit", refuse)
    nvml.setattr(pynvml, "nvmlDeviceGetHandleByUUID", refuse)
    nvml.setattr(pynvml, "nvmlShutdown", lambda: pytest.fail("closed what was not open"))
    gpus = Gpus([GPU], own_pids)
    assert gpus.read() == (GpuReading(GPU.index),)
    gpus.close()


def test_on_the_cpu_nobody_asks_for_gpus(nvml: pytest.MonkeyPatch) -> None:
    nvml.setattr(pynvml, "nvmlInit", lambda: pytest.fail("asked NVML"))
    source = MachineSource([os.getpid()], [], {0})
    found = source.read()
    source.close()
    assert found.gpus == ()
    assert len(found.ranks) == 1
    assert isinstance(found.host, HostReading)
