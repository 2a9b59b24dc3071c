"""What a file of results says about the machine that they were measured on."""

import datetime
import os
import platform
from importlib.metadata import version

from pytest_gpt_dist.host.machine import cpu_name


def describe_machine() -> dict[str, str | int]:
    """Processor, cores that may be used, and versions: what must be the same for a file to be continued."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def moment() -> tuple[str, float]:
    """When a session begins, and the load of the machine by then, which is to be none."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), os.getloadavg()[0]
