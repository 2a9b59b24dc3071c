"""A driver with GPUs, as NVML's binding would tell of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

MEMORY_BYTES = 2**37


@dataclass
class PretendedNvml:
    """GPUs 0, 1, …; ``failing`` has NVML's error by function, or by function and GPU ("nvmlDeviceGetName@1")."""

    gpus: int = 2
    failing: Mapping[str, Exception] = field(default_factory=dict)
    nvlink: bool = True
    meeting: int = pynvml.NVML_TOPOLOGY_SYSTEM
    no_peers: Sequence[tuple[int, int]] = ()
    """The pairs of which the first may not write the second's memory."""
    free_bytes: int = MEMORY_BYTES
    running: Sequence[int] = ()
    """The pids on every GPU, each with 1 GiB."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "570.86.15",
            "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
            "nvmlDeviceGetCount": lambda: self.gpus,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetHandleByUUID": lambda uuid: int(uuid.removeprefix("GPU-")),
            "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
            "nvmlDeviceGetName": lambda _: "H200",
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=MEMORY_BYTES, free=self.free_bytes),
            "nvmlDeviceGetComputeRunningProcesses": lambda _: [
                SimpleNamespace(pid=pid, usedGpuMemory=2**30) for pid in self.running
            ],
            "nvmlDeviceGetP2PStatus": self._peers,
            "nvmlDeviceGetTopologyCommonAncestor": lambda *_: self.meeting,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, self._or_fails(name, answer))

    def _or_fails(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            for failing in (name, f"{name}@{args[0]}" if args else name):
                if failing in self.failing:
                    raise self.failing[failing]
            return answer(*args)

        return ask

    def _peers(self, one: int, other: int, what: int) -> int:
        if what == pynvml.NVML_P2P_CAPS_INDEX_NVLINK:
            allowed = self.nvlink
        elif what == pynvml.NVML_P2P_CAPS_INDEX_WRITE:
            allowed = (one, other) not in self.no_peers
        else:
            assert what == 0  # reading: pynvml has a tuple of that name, which the library does not take
            allowed = True
        status: int = pynvml.NVML_P2P_STATUS_OK if allowed else pynvml.NVML_P2P_STATUS_DISABLED_BY_REGKEY
        return status


def error(code: int) -> Exception:
    """What the binding raises for one of NVML's codes."""
    found: Exception = pynvml.NVMLError(code)
    return found
