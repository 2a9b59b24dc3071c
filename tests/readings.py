"""Recorded readings for tests."""

from collections.abc import Sequence
from typing import Any

from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.reading import GpuReading, HostReading, RankReading, Reading


def rank(cpu_s: float, memory_bytes: int = 100) -> RankReading:
    """A rank whose process took that much time so far."""
    return RankReading(cpu_s, memory_bytes, voluntary_switches=0, involuntary_switches=0)


def reading(
    at_s: float,
    ranks: Sequence[RankReading] = (),
    gpus: Sequence[GpuReading] = (),
    cores: int = 2,
    **host: Any,
) -> Reading:
    """A look at a machine that tells of itself only what is given."""
    return Reading(at_s, tuple(ranks), HostReading(cores, **host), tuple(gpus))


def on_gpu(*figures: dict[str, Any]) -> Observation:
    """Looks at one GPU, a second apart, all of them during the rounds."""
    readings = tuple(reading(float(at_s), gpus=[GpuReading(0, **each)]) for at_s, each in enumerate(figures))
    return Observation(readings, 0.0, len(figures) - 1.0)
