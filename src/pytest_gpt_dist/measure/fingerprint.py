"""What every mode's fingerprint says of the machine that a case ran on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from pytest_gpt_dist.host.gpus import interconnect
from pytest_gpt_dist.host.machine import Machine, cpu_name, nccl_version


def machine_entries(machine: Machine, gpus: int) -> dict[str, Any]:
    """Return everything of machine and libraries that changes the numbers of a case on so many devices."""
    backend = machine.backend_of(gpus)
    return {
        "device": machine.device,
        "device_names": [gpu.name for gpu in machine.gpus[:gpus]],
        "driver": machine.driver,
        "cpu": cpu_name(),
        "cores": machine.cores.usable,
        "backend": backend,
        "nccl": nccl_version() if backend == "nccl" else None,
        "interconnect": interconnect(machine.gpus[:gpus]),
        "threads_per_rank": machine.threads_per_rank,
        "attention": machine.attention,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
