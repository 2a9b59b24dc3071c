"""Which GPUs this machine has and which of them a process may use; NVML answers, CUDA is not touched."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import pynvml

from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its number on the bus, its UUID ("GPU-…"), its name and its memory in bytes.

    A name that NVML does not tell is "", memory 0. `lost` is why it cannot be asked at all, as one that fell off
    the bus, or one that belongs to somebody else; "" of a sound one.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int
    lost: str = ""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU, and what it holds there, None where NVML does not tell."""

    pid: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Link:
    """What joins two GPUs, given by their numbers.

    `kind` is "nvlink", else where NVML says that their paths over PCIe meet, "unknown" where it does not;
    `peer_access`: each may read and write the other's memory, None where NVML does not tell.
    """

    gpus: tuple[int, int]
    kind: str
    peer_access: bool | None


def visible_gpus(value: str | None, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES shows, in its order; `value` None is an unset variable.

    CUDA's rules: entries are indices or UUIDs, a UUID may be cut where it stays unambiguous, and an entry
    that names no GPU hides itself and all that follow. A GPU named twice hides all, as CUDA then reports
    none.
    """
    if value is None:
        return tuple(gpus)
    shown: list[Gpu] = []
    for entry in value.split(","):
        found = _named(entry.strip(), gpus)
        if found is None:
            break
        if found in shown:
            return ()
        shown.append(found)
    return tuple(shown)


def _named(entry: str, gpus: Sequence[Gpu]) -> Gpu | None:
    number = re.match(r"[0-9]+", entry)  # like C's strtoul, CUDA reads "2gpu" as 2
    if number is not None:
        matches = [gpu for gpu in gpus if gpu.index == int(number[0])]
    elif entry.startswith("GPU-"):
        matches = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
    else:
        matches = []
    return matches[0] if len(matches) == 1 else None


def hides_all(value: str) -> bool:
    """Whether this is how people hide every GPU by CUDA_VISIBLE_DEVICES, on purpose."""
    return value.strip().lower() in ("", "-1", "none", "nodevfiles")


def installed_gpus() -> tuple[Gpu, ...]:
    """Return every GPU that NVML knows, lost ones too, in the order of the bus; none without a driver."""
    with _nvml() as found:
        if not found:
            return ()
        return tuple(_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))


def unusable(visible: Sequence[Gpu], installed: Sequence[Gpu]) -> str | None:
    """Return which of the visible GPUs are lost, and what to do about it; None when all are sound."""
    lost = [f"GPU {gpu.index} cannot be used ({gpu.lost})" for gpu in visible if gpu.lost]
    if not lost:
        return None
    sound = sound_value(installed)
    without = f"leave it out with CUDA_VISIBLE_DEVICES={sound}" if sound else "use --gpt-device=cpu"
    forbidden = any(gpu.lost == _FORBIDDEN for gpu in visible)
    remedy = "get the right to read and write /dev/nvidia*" if forbidden else "restart the machine"
    return f"{', '.join(lost)}; {remedy}, or {without}"


def sound_value(gpus: Sequence[Gpu]) -> str:
    """Return the value of CUDA_VISIBLE_DEVICES that shows all sound GPUs, "" where there are none.

    By UUID if one is lost: who counts the others then may count differently.
    """
    counted = all(not gpu.lost for gpu in gpus)
    return ",".join(str(gpu.index) if counted else gpu.uuid for gpu in gpus if not gpu.lost)


def unreachable_driver() -> str | None:
    """Return why NVML cannot reach a driver though its library is there, and what to do about it.

    None when it can, and where there is no library. Containers made for GPUs have one on any machine, so this
    is no error.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        remedy = _UNREACHABLE.get(error.value)
        return None if remedy is None else f"NVML cannot reach the NVIDIA driver ({error}); {remedy}"
    _shut_down()
    return None


def driver_version() -> str | None:
    """Return the NVIDIA driver's version ("570.86.15"), None without one."""
    with _nvml() as found:
        return _text(pynvml.nvmlSystemGetDriverVersion) if found else None


def driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA that the driver takes ((12, 8)), None without one."""
    with _nvml() as found:
        if not found:
            return None
        version = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        return version // 1000, version % 1000 // 10


def free_memory_bytes(gpu: Gpu) -> int:
    """Return the memory of a GPU that nobody uses."""
    with _nvml():
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)).free)


def processes(gpu: Gpu) -> tuple[GpuProcess, ...]:
    """Return the processes that compute on a GPU, as far as this one may know."""
    with _nvml():
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid))
    found = (GpuProcess(process.pid, process.usedGpuMemory) for process in running)
    return tuple(sorted(found, key=lambda process: process.pid))


def links(gpus: Sequence[Gpu]) -> tuple[Link, ...]:
    """Return what joins any two of these GPUs; nothing without a driver."""
    with _nvml() as found:
        if not found:
            return ()
        return tuple(
            Link((one.index, other.index), _kind(one, other), _peer_access(one, other))
            for one, other in combinations(gpus, 2)
        )


def interconnect(gpus: Sequence[Gpu]) -> str | None:
    """Return the slowest kind of link between any two of these GPUs; None for fewer than two."""
    pairs = list(combinations(gpus, 2))
    if not pairs:
        return None
    with _nvml() as found:
        if not found:
            return None
        return max((_kind(one, other) for one, other in pairs), key=KINDS.index)


KINDS = ("nvlink", "pcie switch", "pcie switches", "host bridge", "numa node", "system", "unknown")
"""Of links, from the fastest to the slowest."""
_MEETINGS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "pcie switch",
    pynvml.NVML_TOPOLOGY_SINGLE: "pcie switch",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "pcie switches",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "host bridge",
    pynvml.NVML_TOPOLOGY_NODE: "numa node",
    pynvml.NVML_TOPOLOGY_SYSTEM: "system",
}
_READ = 0  # pynvml's NVML_P2P_CAPS_INDEX_READ is a tuple by mistake
_FORBIDDEN = str(pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION))
_NOT_TOLD = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)
"""The second is raised for functions that a driver lacks."""


def _kind(one: Gpu, other: Gpu) -> str:
    try:
        handles = [pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid) for gpu in (one, other)]
        status = pynvml.nvmlDeviceGetP2PStatus(*handles, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
        if status == pynvml.NVML_P2P_STATUS_OK:
            return "nvlink"
        return _MEETINGS.get(pynvml.nvmlDeviceGetTopologyCommonAncestor(*handles), "unknown")
    except pynvml.NVMLError_NotSupported:  # virtual machines may hide what lies between
        return "system"
    except _NOT_TOLD:
        return "unknown"


def _peer_access(one: Gpu, other: Gpu) -> bool | None:
    try:
        handles = [pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid) for gpu in (one, other)]
        ways = (_READ, pynvml.NVML_P2P_CAPS_INDEX_WRITE)
        return all(
            pynvml.nvmlDeviceGetP2PStatus(*pair, way) == pynvml.NVML_P2P_STATUS_OK
            for pair in permutations(handles)
            for way in ways
        )
    except _NOT_TOLD:
        return None


def _gpu(index: int) -> Gpu:
    uuid = name = ""
    memory_bytes = 0
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(pynvml.nvmlDeviceGetUUID, handle)
        name = _text(pynvml.nvmlDeviceGetName, handle)
        with suppress(
            pynvml.NVMLError_NotSupported
        ):  # a GPU that shares the host's memory has none of its own
            memory_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except _NOT_TOLD as error:
        return Gpu(index, uuid, name, 0, lost=_reason(error))
    return Gpu(index, uuid, name, memory_bytes)


def _reason(error: Exception) -> str:
    if isinstance(error, pynvml.NVMLLibraryMismatchError):
        return "the driver is older than the function that was asked"
    return str(error)


def _text(ask: Callable[..., Any], *args: Any) -> str:
    answer = ask(*args)
    return answer.decode() if isinstance(answer, bytes) else str(answer)


_UNREACHABLE = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "if there are GPUs, load it with modprobe nvidia, restart after an update, or start the container with"
        " --gpus all"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "get the right to read and write /dev/nvidia*, or start the container with --gpus all"
    ),
}
_NO_DRIVER = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, *_UNREACHABLE)


@contextmanager
def _nvml() -> Iterator[bool]:
    """Yield whether there is a driver to ask; what it does not answer is a UsageError."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value not in _NO_DRIVER:
            raise UsageError(
                f"NVML cannot talk to the NVIDIA driver ({error}); restart or reinstall it, or use --gpt-device=cpu"
            ) from None
        yield False
        return
    try:
        yield True
    except _NOT_TOLD as error:
        raise UsageError(
            f"NVML does not answer ({_reason(error)}); restart or update the NVIDIA driver, or use --gpt-device=cpu"
        ) from None
    finally:
        _shut_down()


def _shut_down() -> None:
    with suppress(pynvml.NVMLError):  # nothing is asked any more, so nothing is lost
        pynvml.nvmlShutdown()
