"""GPUs and drivers in all conditions, by a stand-in for NVML."""

import os

import pynvml
import pytest

from pretended_nvml import MEMORY_BYTES, PretendedNvml, error
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.gpus import (
    Gpu,
    GpuProcess,
    Link,
    driver_cuda,
    driver_version,
    free_memory_bytes,
    installed_gpus,
    interconnect,
    links,
    processes,
    unreachable_driver,
)
from pytest_gpt_dist.host.machine import find_machine

GPUS = tuple(Gpu(index, f"GPU-{index}", "H200", MEMORY_BYTES) for index in range(3))
LOST = error(pynvml.NVML_ERROR_GPU_IS_LOST)
NOT_SUPPORTED = error(pynvml.NVML_ERROR_NOT_SUPPORTED)
OLD_DRIVER = pynvml.NVMLLibraryMismatchError("Unversioned function called")


def test_a_driver_tells_of_itself_and_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml(gpus=3, free_bytes=7, running=[9, 4]).install(monkeypatch)
    assert installed_gpus() == GPUS
    assert (driver_version(), driver_cuda()) == ("570.86.15", (12, 8))
    assert free_memory_bytes(GPUS[1]) == 7
    assert processes(GPUS[1]) == (GpuProcess(4, 2**30), GpuProcess(9, 2**30))
    assert unreachable_driver() is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "modprobe nvidia"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, None),
    ],
)
def test_without_a_driver_there_are_no_gpus_and_where_its_library_is_there_it_is_known_why(
    monkeypatch: pytest.MonkeyPatch, code: int, said: str | None
) -> None:
    PretendedNvml(failing={"nvmlInit": error(code)}).install(monkeypatch)
    assert installed_gpus() == ()
    assert (driver_version(), driver_cuda()) == (None, None)
    why = unreachable_driver()
    assert (why is None) == (said is None)
    assert (said or "") in (why or "")
    assert find_machine(Options()).device == "cpu"


def test_a_driver_that_does_not_fit_its_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    mismatch = error(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    PretendedNvml(failing={"nvmlInit": mismatch}).install(monkeypatch)
    with pytest.raises(UsageError, match=r"^NVML cannot talk to the NVIDIA driver \(.*\); restart"):
        installed_gpus()


@pytest.mark.parametrize("asked", ["nvmlDeviceGetMemoryInfo@1", "nvmlDeviceGetHandleByIndex@1"])
def test_a_lost_gpu_matters_to_those_who_see_it_and_is_named(
    monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    PretendedNvml(gpus=3, failing={asked: LOST}).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert find_machine(Options()).gpus == GPUS[:1]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(UsageError, match=r"^GPU 1 cannot be used \(GPU is lost\)") as caught:
        find_machine(Options())
    assert str(caught.value).endswith("CUDA_VISIBLE_DEVICES=GPU-0,GPU-2")


def test_a_gpu_without_memory_of_its_own_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml(gpus=2, failing={"nvmlDeviceGetMemoryInfo@1": NOT_SUPPORTED}).install(monkeypatch)
    assert find_machine(Options(device="cuda")).gpus[1].memory_bytes == 0


def test_a_gpu_of_somebody_else_asks_for_rights_and_not_for_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbidden = error(pynvml.NVML_ERROR_NO_PERMISSION)
    PretendedNvml(gpus=2, failing={"nvmlDeviceGetHandleByIndex@1": forbidden}).install(monkeypatch)
    with pytest.raises(
        UsageError, match=r"^GPU 1 cannot be used \(Insufficient Permissions\); get the right"
    ):
        find_machine(Options())


@pytest.mark.parametrize("hidden", ["", " ", "-1", "NoDevFiles"])
def test_all_gpus_can_be_hidden_on_purpose(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    PretendedNvml().install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert find_machine(Options()).device == "cpu"
    with pytest.raises(UsageError, match=f"CUDA_VISIBLE_DEVICES is {hidden.strip() or 'empty'};"):
        find_machine(Options(device="cuda"))


@pytest.mark.parametrize("failure", [NOT_SUPPORTED, OLD_DRIVER])
def test_what_a_driver_does_not_answer_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    PretendedNvml(failing={"nvmlDeviceGetComputeRunningProcesses": failure}).install(monkeypatch)
    with pytest.raises(UsageError, match=r"^NVML does not answer \([^;]*\); "):
        processes(GPUS[0])
    assert free_memory_bytes(GPUS[0]) == MEMORY_BYTES


def test_an_error_at_the_end_takes_no_answer_away(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml(gpus=3, failing={"nvmlShutdown": error(pynvml.NVML_ERROR_UNKNOWN)}).install(monkeypatch)
    assert installed_gpus() == GPUS
    assert unreachable_driver() is None


@pytest.mark.parametrize(
    ("nvml", "kind"),
    [
        (PretendedNvml(), "nvlink"),
        (PretendedNvml(nvlink=False), "system"),
        (PretendedNvml(nvlink=False, meeting=pynvml.NVML_TOPOLOGY_SINGLE), "pcie switch"),
        (PretendedNvml(nvlink=False, meeting=60), "unknown"),
        (PretendedNvml(failing={"nvmlDeviceGetP2PStatus": NOT_SUPPORTED}), "system"),
        (PretendedNvml(failing={"nvmlDeviceGetP2PStatus": OLD_DRIVER}), "unknown"),
        (PretendedNvml(failing={"nvmlDeviceGetHandleByUUID@GPU-1": LOST}), "unknown"),
    ],
)
def test_links_have_a_kind_whatever_nvml_answers(
    monkeypatch: pytest.MonkeyPatch, nvml: PretendedNvml, kind: str
) -> None:
    nvml.install(monkeypatch)
    (found,) = links(GPUS[:2])
    assert found.gpus == (0, 1)
    assert found.kind == interconnect(GPUS[:2]) == kind
    assert found.peer_access is (None if nvml.failing else True)


def test_peer_access_is_needed_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml(no_peers=[(2, 0)]).install(monkeypatch)
    assert links(GPUS) == (
        Link((0, 1), "nvlink", True),
        Link((0, 2), "nvlink", False),
        Link((1, 2), "nvlink", True),
    )


def test_this_machine_has_no_driver_without_a_reason() -> None:
    if os.path.exists("/proc/driver/nvidia/version"):
        assert driver_cuda() is not None or unreachable_driver() is not None
    else:
        assert installed_gpus() == ()
