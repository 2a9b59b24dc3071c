"""What the core calls on ranks. It does without torch, so each function imports its own when it runs there."""

from __future__ import annotations

from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.profile import RankProfile
from pytest_gpt_dist.registry import load


def measure_limits(dtype: str) -> DeviceLimits:
    """Measure how fast the device can read and multiply; on every rank of a group at once."""
    from pytest_gpt_dist.measure import roofline

    return roofline.measure_limits(dtype)


def run_job(path: str, job: Any) -> Any:
    """Run a mode's job by the function ``package.module:function``, on every rank of its group."""
    return load(path, what="job")(job)


def run_profiled_job(path: str, job: Any, trace_folder: str) -> Any:
    """Do the same with one more round under the profiler, of which ``take_profile`` tells."""
    from pytest_gpt_dist.measure.rank_profile import profiling_into

    with profiling_into(trace_folder):
        return run_job(path, job)


def take_profile() -> RankProfile | None:
    """Return what the round that was profiled last on this rank showed; None where there was none."""
    from pytest_gpt_dist.measure.rank_profile import profile_of_rounds

    return profile_of_rounds()
