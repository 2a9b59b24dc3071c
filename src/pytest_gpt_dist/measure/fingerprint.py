"""What every mode's fingerprint says of the machine that a case ran on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from pytest_gpt_dist.host.machine import Machine, nccl_version


def machine_entries(machine: Machine, gpus: int) -> dict[str, Any]:
    """Return everything of machine and libraries that changes the numbers of a case on so many devices."""
    backend = machine.backend_of(gpus)
    return {
        "device": machine.device,
        "device_names": [gpu.name for gpu in machine.gpus[:gpus]],
        "driver": machine.driver,
        "cpu": machine.cpu,
        "cores": machine.cores.usable,
        "backend": backend,
        "nccl": nccl_version() if backend == "nccl" else None,
        "machines": machine.machines(gpus),
        "interconnect": machine.interconnect(gpus),
        "nccl_variables": machine.nccl_variables if backend == "nccl" else {},
        "threads_per_rank": machine.threads_per_rank,
        "attention": machine.attention,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
