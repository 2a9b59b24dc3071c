"""What the core calls on ranks. It does without torch, so each function imports its own when it runs there."""

from __future__ import annotations

from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.registry import load


def measure_limits(dtype: str) -> DeviceLimits:
    """Measure how fast the device can read and multiply; on every rank of a group at once."""
    from pytest_gpt_dist.measure import roofline

    return roofline.measure_limits(dtype)


def run_job(path: str, job: Any) -> Any:
    """Run a mode's job by the function ``package.module:function``, on every rank of its group."""
    return load(path, what="job")(job)
