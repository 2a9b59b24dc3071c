"""Which GPUs this machine has and which of them a process may use; NVML answers, CUDA is not touched."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pynvml

from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its number on the bus, its UUID ("GPU-…"), its name and its memory in bytes."""

    index: int
    uuid: str
    name: str
    memory_bytes: int


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


def installed_gpus() -> tuple[Gpu, ...]:
    """Return every GPU that NVML knows, in the order of the bus; none without a driver."""
    with _nvml() as found:
        if not found:
            return ()
        return tuple(_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))


def driver_version() -> str | None:
    """Return the NVIDIA driver's version ("570.86.15"), None without one."""
    with _nvml() as found:
        return _text(pynvml.nvmlSystemGetDriverVersion) if found else None


def free_memory_bytes(gpu: Gpu) -> int:
    """Return the memory of a GPU that nobody uses."""
    with _nvml():
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)).free)


def processes(gpu: Gpu) -> tuple[int, ...]:
    """Return the processes that compute on a GPU, as far as this one may know."""
    with _nvml():
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid))
    return tuple(sorted(process.pid for process in running))


def interconnect(gpus: Sequence[Gpu]) -> str | None:
    """Return the slowest kind of link between any two of these GPUs; None for fewer than two.

    "nvlink", else where NVML says that their paths over PCIe meet: from "pcie switch" down to "system".
    """
    pairs = list(combinations(gpus, 2))
    if not pairs:
        return None
    with _nvml() as found:
        if not found:
            return None
        return max((_link(one, other) for one, other in pairs), key=_LINKS.index)


_LINKS = ("nvlink", "pcie switch", "pcie switches", "host bridge", "numa node", "system")
"""From the fastest to the slowest."""
_MEETINGS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "pcie switch",
    pynvml.NVML_TOPOLOGY_SINGLE: "pcie switch",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "pcie switches",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "host bridge",
    pynvml.NVML_TOPOLOGY_NODE: "numa node",
    pynvml.NVML_TOPOLOGY_SYSTEM: "system",
}


def _link(one: Gpu, other: Gpu) -> str:
    handles = [pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid) for gpu in (one, other)]
    try:
        status = pynvml.nvmlDeviceGetP2PStatus(*handles, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
        if status == pynvml.NVML_P2P_STATUS_OK:
            return "nvlink"
        return _MEETINGS[pynvml.nvmlDeviceGetTopologyCommonAncestor(*handles)]
    except pynvml.NVMLError_NotSupported:  # virtual machines may hide what lies between
        return "system"


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID, handle),
        name=_text(pynvml.nvmlDeviceGetName, handle),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _text(ask: Callable[..., Any], *args: Any) -> str:
    answer = ask(*args)
    return answer.decode() if isinstance(answer, bytes) else str(answer)


_NO_DRIVER = (
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_NO_PERMISSION,
)


@contextmanager
def _nvml() -> Iterator[bool]:
    """Yield whether there is a driver to ask."""
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
    except pynvml.NVMLError as error:
        raise UsageError(
            f"NVML cannot tell what there is to know of a GPU ({error}); use --gpt-device=cpu, or other GPUs"
        ) from None
    finally:
        pynvml.nvmlShutdown()
