"""On a rank: the most memory that a case needed."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class PeakMemory:
    """The peak since construction, beyond what was held then: of torch's allocator on a GPU, else of the process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._resting_bytes: int | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._resting_bytes = torch.cuda.memory_allocated(device)
        else:
            release_memory(device)
            try:
                _CLEAR_REFS.write_text(_RESET_PEAK)
                self._resting_bytes = _status_bytes("VmRSS")
            except OSError:
                # Some sandboxes have no clear_refs; without the reset the peak may be an earlier case's.
                self._resting_bytes = None

    def restart(self) -> None:
        """Let the peak begin now; what the process held at construction still does not count."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._resting_bytes is not None:
            _CLEAR_REFS.write_text(_RESET_PEAK)

    def read(self) -> int | None:
        """Bytes, or None where the system cannot tell."""
        if self._device.type == "cuda":
            peak: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _status_bytes("VmHWM")
        if peak is None or self._resting_bytes is None:
            return None
        return max(0, peak - self._resting_bytes)


def release_memory(device: torch.device) -> None:
    """Give back what was freed: kept in an allocator it hides what the next case needs, or takes its room."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
    if trim is not None:
        trim(0)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _status_bytes(key: str) -> int | None:
    match = re.search(rf"^{key}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
