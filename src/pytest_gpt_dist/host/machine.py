"""What there is to run on, asked of NVML so that CUDA stays untouched."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pytest_gpt_dist.config.sections import DeviceOptions
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import Cores, own_cores
from pytest_gpt_dist.host.gpus import (
    Gpu,
    driver_version,
    hides_all,
    installed_gpus,
    unusable,
    visible_gpus,
)

_CPU_INFO = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """Return the processor's model name, or its architecture where the kernel names no model."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@dataclass(frozen=True)
class Machine:
    """The kind of device that ranks own, and the GPUs that are visible to them.

    ``backend`` is that of ranks with a GPU, or with cores, of their own; ``backend_of`` says which a case has.
    """

    device: str
    gpus: tuple[Gpu, ...]
    driver: str | None
    backend: str
    threads_per_rank: int
    share_gpu: bool
    cores: Cores
    attention: str = "auto"

    @property
    def device_name(self) -> str:
        """Name of the first GPU, or of the processor."""
        return self.gpus[0].name if self.device == "cuda" else cpu_name()

    def lacks(self, gpus: int) -> str | None:
        """Why a case on ``gpus`` devices cannot run here, or None. A CPU takes any number of ranks."""
        if self.device == "cpu" or gpus <= len(self.gpus) or self.share_gpu:
            return None
        return (
            f"needs {gpus} GPUs, {len(self.gpus)} visible ({self.device_name});"
            " --gpt-share-gpu checks its results on fewer"
        )

    def shares_gpu(self, gpus: int) -> bool:
        """Whether that many ranks share GPUs here."""
        return self.device == "cuda" and gpus > len(self.gpus)

    def backend_of(self, gpus: int) -> str:
        """Return what carries the tensors of that many ranks: NCCL refuses two of them on one GPU."""
        return "gloo" if self.shares_gpu(gpus) else self.backend

    def staged(self, gpus: int) -> bool:
        """Whether what that many ranks communicate travels through the host's memory, though they own GPUs."""
        return self.device == "cuda" and self.backend_of(gpus) == "gloo"

    def oversubscribed(self, gpus: int) -> bool:
        """Whether that many ranks want more cores than there are; GPUs are never oversubscribed, but shared."""
        return self.device == "cpu" and self.cores.oversubscribed(gpus, self.threads_per_rank)

    def cores_of(self, gpus: int) -> frozenset[int]:
        """Return the cores that so many ranks own; none where they own GPUs."""
        return self.cores.of_ranks(gpus, self.threads_per_rank) if self.device == "cpu" else frozenset()


def find_machine(options: DeviceOptions) -> Machine:
    """Return the machine that the options describe.

    Raises UsageError where GPUs are asked for, or are to be shared, and there are none, or CUDA_VISIBLE_DEVICES
    names none of those that exist.
    """
    gpus = _find_gpus(options.device, options.written("device"))
    if options.share_gpu and not gpus:
        raise UsageError(f"{options.source('share_gpu')}: there is no GPU to share; leave it out on the CPU")
    return Machine(
        device="cuda" if gpus else "cpu",
        gpus=gpus,
        driver=driver_version() if gpus else None,
        backend=options.backend if options.backend != "auto" else "nccl" if gpus else "gloo",
        threads_per_rank=options.threads_per_rank,
        share_gpu=options.share_gpu,
        cores=own_cores(),
        attention=options.attention,
    )


def _find_gpus(device: str, option: str) -> tuple[Gpu, ...]:
    if device == "cpu":
        return ()
    installed = installed_gpus()
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = visible_gpus(asked, installed)
    if not visible and installed and asked is not None and not hides_all(asked):
        known = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in installed)
        raise UsageError(f"CUDA_VISIBLE_DEVICES={asked} names no GPU of this machine; it has {known}")
    if not visible and device == "cuda":
        hidden = f"CUDA_VISIBLE_DEVICES is {(asked or '').strip() or 'empty'}"
        why = hidden if installed else "NVML finds no NVIDIA GPU"
        raise UsageError(f"{option}: {why}; use --gpt-device=cpu, or auto")
    if (why_not := unusable(visible, installed)) is not None:
        raise UsageError(why_not)
    return visible


@dataclass(frozen=True)
class DeviceLimits:
    """What a rank's device, or its cores, can do beside the others: reading memory, multiplying matrices."""

    read_bytes_per_s: float | None
    flops_per_s: float | None


@cache
def nccl_version() -> str | None:
    """Version of the NCCL that torch's wheel brings; None where torch was built with another. Gloo is part of torch."""
    for requirement in requires("torch") or ():
        if found := re.match(r"nvidia-nccl[\w-]*", requirement):
            try:
                return version(found[0])
            except PackageNotFoundError:
                return None
    return None
