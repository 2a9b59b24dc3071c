"""What a profiled round did, by operator and phase, merged over ranks: plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_OPERATORS = 30
"""Operators of a case that are saved, those first that took most; the traces have all of them."""
COMMUNICATION = "communication"


@dataclass(frozen=True)
class OperatorTime:
    """What one operator took on one rank within a phase, without the operators that it called itself.

    ``host_s`` is on the thread that called it, ``device_s`` in its kernels.
    """

    phase: str
    name: str
    calls: int
    host_s: float
    device_s: float


@dataclass(frozen=True)
class RankProfile:
    """A profiled round on one rank: its own seconds, slower than a timed one, the trace's file, and its operators."""

    seconds: float
    trace: str
    operators: tuple[OperatorTime, ...]


@dataclass(frozen=True)
class OperatorShare:
    """What one operator took on all ranks. ``share`` is of all operators' time, ``seconds`` are by rank."""

    phase: str
    name: str
    calls: int
    share: float
    seconds: tuple[float, ...]


def operator_shares(profiles: Sequence[RankProfile]) -> tuple[OperatorShare, ...]:
    """Return the operators of all ranks, those first that took most: device time where there is any, else host time."""
    on_device = any(each.device_s for profile in profiles for each in profile.operators)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(profiles))
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for rank, profile in enumerate(profiles):
        for each in profile.operators:
            key = each.phase, each.name
            seconds[key][rank] += each.device_s if on_device else each.host_s
            calls[key] += each.calls
    total = sum(map(sum, seconds.values())) or 1.0
    found = [
        OperatorShare(phase, name, calls[phase, name], sum(by_rank) / total, tuple(by_rank))
        for (phase, name), by_rank in seconds.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.share, each.phase, each.name)))


def profile_entry(profiles: Sequence[RankProfile]) -> dict[str, Any]:
    """Return what is saved of a profiled round: traces and seconds by rank, shares of phases, the largest operators."""
    shares = operator_shares(profiles)
    phases: dict[str, float] = defaultdict(float)
    for each in shares:
        phases[each.phase] += each.share
    return {
        "traces": [profile.trace for profile in profiles],
        "round_s": [profile.seconds for profile in profiles],
        "phases": dict(sorted(phases.items(), key=lambda item: -item[1])),
        "operators": [
            {
                "phase": each.phase,
                "operator": each.name,
                "calls": each.calls,
                "share": each.share,
                "seconds": list(each.seconds),
            }
            for each in shares[:MOST_OPERATORS]
        ],
    }
