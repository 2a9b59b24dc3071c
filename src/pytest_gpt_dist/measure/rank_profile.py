"""On a rank: one more round after the timed ones, under torch's profiler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import synchronize
from pytest_gpt_dist.measure.profile import COMMUNICATION, OperatorTime, RankProfile
from pytest_gpt_dist.measure.rank_rounds import RoundWork, make_ready

_PHASE = "phase: "
_BEGINNINGS = (
    *(
        (prefix, COMMUNICATION)
        for prefix in ("c10d::", "gloo:", "nccl:", "_c10d_functional::", "record_param_comms")
    ),
    ("Optimizer.step", "optimizer"),
    ("autograd::engine::evaluate_function", "backward"),
)
"""How the names of torch's own operators begin that belong to a phase, and the phase."""
_OTHER = "other"
_WAITING = "waiting for all ranks"
"""Before the round, and no part of it."""
_NOTHING: AbstractContextManager[None] = nullcontext()
_wanted: list[Path] = []
_taken: list[RankProfile] = []


@contextmanager
def profiling_into(trace_folder: str) -> Iterator[None]:
    """Have the rounds of the job within followed by a profiled one, whose trace goes into a folder."""
    _wanted[:] = [Path(trace_folder)]
    _taken.clear()
    try:
        yield
    finally:
        _wanted.clear()


def phase(name: str) -> AbstractContextManager[None]:
    """Return what names the phase of the operators within; it costs a timed round nothing to speak of."""
    return record_function(_PHASE + name) if torch.autograd._profiler_enabled() else _NOTHING  # type: ignore[attr-defined]


def profile_round(work: RoundWork[Any], device: torch.device) -> None:
    """Run one more round under the profiler where the job is to be profiled; on every rank, and never a timed one."""
    if not _wanted:
        return
    report_progress("profiling")
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        with phase(_WAITING):  # within, because profilers start at different speeds
            make_ready(work, device)
        start_s = time.perf_counter()
        work.run()
        synchronize(device)
        seconds = time.perf_counter() - start_s
    work.outcome()
    report_progress("writing the trace")
    folder = _wanted[0]
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / f"rank{this_rank().rank}.pt.trace.json.gz"
    recorded.export_chrome_trace(str(trace))
    _taken.append(RankProfile(seconds, str(trace), _operators(recorded.events())))


def profile_of_rounds() -> RankProfile | None:
    """Return what the last profiled round showed; None where there was none."""
    return _taken.pop() if _taken else None


def _operators(events: Any) -> tuple[OperatorTime, ...]:
    host_us: dict[tuple[str, str], float] = defaultdict(float)
    device_us: dict[tuple[str, str], float] = defaultdict(float)
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        phase = _phase_of(event)
        if phase == _WAITING or event.name.startswith((_PHASE, "ProfilerStep")):
            continue
        key = phase, event.name
        host_us[key] += event.self_cpu_time_total
        device_us[key] += event.self_device_time_total
        calls[key] += 1
    return tuple(
        OperatorTime(
            phase, name, calls[phase, name], host_us[phase, name] / 1e6, device_us[phase, name] / 1e6
        )
        for phase, name in calls
    )


def _phase_of(event: Any) -> str:
    """Return the phase that the nearest caller tells; what runs while ranks wait for each other is of none besides."""
    phases = []
    while event is not None:
        if event.name.startswith(_PHASE):
            phases.append(event.name.removeprefix(_PHASE))
        phases += [named for beginning, named in _BEGINNINGS if event.name.startswith(beginning)]
        event = event.cpu_parent
    if _WAITING in phases:
        return _WAITING
    return phases[0] if phases else _OTHER
