"""How busy the GPUs are, sampled by NVML beside the ranks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import mean
from types import TracebackType

import pynvml

_INTERVAL_S = 0.1


class UtilizationSampler:
    """Samples the utilisation of GPUs while it is entered; does nothing for an empty list."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self._uuids = tuple(uuids)
        self._samples: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpt-dist-utilization", daemon=True)

    def __enter__(self) -> UtilizationSampler:
        if self._uuids:
            pynvml.nvmlInit()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._uuids:
            self._stop.set()
            self._thread.join()
            pynvml.nvmlShutdown()

    def mean_between(self, start_s: float, end_s: float) -> float | None:
        """Mean share of time, 0 to 1, in which a kernel ran, over all GPUs; None without a sample."""
        inside = [share for at_s, share in self._samples if start_s <= at_s <= end_s]
        return mean(inside) if inside else None

    def _sample(self) -> None:
        with suppress(pynvml.NVMLError):  # a GPU that does not tell has no figure
            handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in self._uuids]
            while not self._stop.wait(_INTERVAL_S):
                busy = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
                self._samples.append((time.monotonic(), mean(busy) / 100))
