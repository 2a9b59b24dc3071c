"""What there is to run on, asked of NVML so that CUDA stays untouched."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pytest_gpt_dist.config.sections import DeviceOptions
from pytest_gpt_dist.errors import UsageError, counted
from pytest_gpt_dist.host.cores import Cores, own_cores
from pytest_gpt_dist.host.gpus import (
    Gpu,
    driver_version,
    hides_all,
    installed_gpus,
    interconnect,
    unusable,
    visible_gpus,
)
from pytest_gpt_dist.host.world import World

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
    ``world`` are the machines that ranks are on where it is not this one alone.
    """

    device: str
    gpus: tuple[Gpu, ...]
    driver: str | None
    backend: str
    threads_per_rank: int
    share_gpu: bool
    cores: Cores
    attention: str = "auto"
    world: World | None = None

    @property
    def device_name(self) -> str:
        """Name of the first GPU, or of the processor."""
        return self.gpus[0].name if self.device == "cuda" else self.cpu

    @property
    def cpu(self) -> str:
        """Name of the processor."""
        return cpu_name() if self.world is None else self.world.slots[0].cpu

    def machines(self, gpus: int) -> int:
        """Return how many machines a case on so many devices is on."""
        return 1 if self.world is None else self.world.machines(gpus)

    def interconnect(self, gpus: int) -> str | None:
        """Return what joins so many devices, None where nothing does or where that is not told."""
        return interconnect(self.gpus[:gpus]) if self.world is None else self.world.interconnect(gpus)

    @property
    def nccl_variables(self) -> dict[str, str]:
        """Return the variables by which NCCL is told how to work."""
        return dict(nccl_variables() if self.world is None else self.world.nccl_variables)

    def cut_tensor_groups(self, gpus: int, tp: int) -> int:
        """Return how many tensor-parallel groups of a case reach over several machines."""
        return 0 if self.world is None else self.world.cut_tensor_groups(gpus, tp)

    def lacks(self, gpus: int) -> str | None:
        """Why a case on ``gpus`` devices cannot run here, or None. A CPU takes any number of ranks."""
        if self.world is not None and gpus > len(self.world.slots):
            slots, machines = len(self.world.slots), len(self.world.by_machine)
            return f"needs {gpus} ranks, torchrun's world has {slots} on {counted(machines, 'machine')}"
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
        cores = self.cores if self.world is None else self.world
        return self.device == "cpu" and cores.oversubscribed(gpus, self.threads_per_rank)

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


def machine_of(world: World, options: DeviceOptions) -> Machine:
    """Return what the machines of a world are together; UsageError where GPUs are asked for, and there are none."""
    owned = dict.fromkeys((slot.machine, slot.gpu) for slot in world.slots if slot.gpu is not None)
    gpus = tuple(gpu for _, gpu in owned if gpu is not None) if options.device != "cpu" else ()
    if options.device == "cuda" and not gpus:
        raise UsageError(
            f"{options.written('device')}: torchrun's machines see no GPU; use --gpt-device=cpu, or auto"
        )
    if options.share_gpu and not gpus:
        raise UsageError(f"{options.source('share_gpu')}: there is no GPU to share; leave it out on the CPU")
    return Machine(
        device="cuda" if gpus else "cpu",
        gpus=gpus,
        driver=world.slots[0].driver if gpus else None,
        backend=options.backend if options.backend != "auto" else "nccl" if gpus else "gloo",
        threads_per_rank=options.threads_per_rank,
        share_gpu=options.share_gpu,
        cores=world.slots[0].cores,
        attention=options.attention,
        world=world,
    )


def nccl_variables(environment: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """Return the variables by which NCCL is told how to work, sorted by name."""
    return tuple(sorted((name, value) for name, value in environment.items() if name.startswith("NCCL_")))


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
