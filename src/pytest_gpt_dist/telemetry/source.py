"""Where readings come from."""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from typing import Protocol

from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.telemetry.host import Host
from pytest_gpt_dist.telemetry.nvml import Gpus
from pytest_gpt_dist.telemetry.processes import Processes, session_pids
from pytest_gpt_dist.telemetry.reading import Reading


class Source(Protocol):
    """Looks at what ranks run on. It answers whatever happens to them; ``close`` lets go of it."""

    def read(self) -> Reading:
        """One look."""
        ...

    def close(self) -> None:
        """Free what was opened: the last look was taken."""
        ...


class MachineSource:
    """This machine, the processes of ranks, and the GPUs or the cores that they own."""

    def __init__(self, pids: Sequence[int], gpus: Sequence[Gpu], cores: Set[int]) -> None:
        self._host = Host(cores)
        self._processes = Processes(pids)
        self._gpus = Gpus(gpus, session_pids) if gpus else None

    def read(self) -> Reading:
        """One look; it takes a millisecond or two, and a few more for each GPU."""
        return Reading(
            at_s=time.monotonic(),
            ranks=self._processes.read(),
            host=self._host.read(),
            gpus=() if self._gpus is None else self._gpus.read(),
        )

    def close(self) -> None:
        """Let go of NVML."""
        if self._gpus is not None:
            self._gpus.close()
