"""What disturbed the rounds of a case, as marks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from statistics import fmean

from pytest_gpt_dist.telemetry.counters import growth, rates
from pytest_gpt_dist.telemetry.observation import Figure, Observation

MIN_SWAPPED_BYTES = 2**20
"""Less than that, either way, a machine swaps at any time."""
MOST_TAKEN = 0.1
"""Of the time of the ranks' own cores; a quiet machine and this session's controller take some hundredths."""
MOST_WEIGHED = 0.5
"""Up to so much taken, a verdict allows for it; beyond, times do not compare."""
MOST_THROTTLED = 0.01
"""Of the time of the rounds."""
BY_DESIGN = ("power cap",)
"""Keeps the clocks of a busy GPU down all the time, in every launch alike, so it makes no launch another one."""
_THROTTLED, _SHARED, _SWAPPED = "throttled", "shared device", "swapped"
_TAKEN = re.compile(rf"{_SHARED}: others took (\d{{1,3}})%")
WHAT_TO_DO = {
    _SHARED: "end the other work on the machine, or give the session cores or GPUs of its own",
    _THROTTLED: "let the GPUs cool, or raise the container's processor limit",
    _SWAPPED: "free memory, or choose a smaller model or batch",
}
"""What helps against each kind."""


def others(observation: Observation) -> list[float]:
    """Shares of the machine's processors, window by window; none where it, or a rank, does not tell."""
    return _beside_ranks(
        observation, observation.readings[-1].host.cores, lambda reading: reading.host.busy_s
    )


def others_on_owned(observation: Observation) -> list[float]:
    """Shares of the ranks' own cores, as ``others``; none where ranks own GPUs."""
    return _beside_ranks(
        observation, observation.readings[-1].host.owned_cores, lambda reading: reading.host.owned_busy_s
    )


def _beside_ranks(observation: Observation, cores: int, busy_s: Figure) -> list[float]:
    def of(rank: int) -> Figure:
        return lambda reading: reading.ranks[rank].cpu_s

    def seen(figure: Figure) -> list[float]:
        return rates(observation.points(figure), observation.start_s, observation.end_s)

    ranks = [seen(of(rank)) for rank in range(len(observation.readings[-1].ranks))]
    busy = seen(busy_s)
    if not busy or not all(ranks):
        return []
    return [max(0.0, all_s - sum(ranks_s)) / cores for all_s, *ranks_s in zip(busy, *ranks, strict=True)]


def disturbance_marks(observations: Sequence[Observation]) -> list[str]:
    """Return the marks of a case: ``throttled: …``, ``shared device: …``, ``swapped``; each once."""
    gpus = [gpu for each in observations for reading in each.inside for gpu in reading.gpus]
    marks = [
        f"{_THROTTLED}: {reason}"
        for gpu in gpus
        for reason in gpu.throttling or ()
        if reason not in BY_DESIGN
    ]
    long = [each for each in observations if not each.brief]
    if any(_throttled(each) > MOST_THROTTLED for each in long):
        marks.append(f"{_THROTTLED}: processor limit")
    marks += [f"{_SHARED}: {stranger}" for gpu in gpus for stranger in gpu.strangers or ()]
    if (taken := max(map(_taken, long), default=0.0)) > MOST_TAKEN:
        marks.append(f"{_SHARED}: others took {taken:.0%}")
    if any(_swapped_bytes(each) >= MIN_SWAPPED_BYTES for each in long):
        marks.append(_SWAPPED)
    return list(dict.fromkeys(marks))


def disturbing(marks: Iterable[str]) -> tuple[str, ...]:
    """Those of saved marks after which times do not compare."""
    return tuple(mark for mark in marks if mark.partition(":")[0] in (_THROTTLED, _SHARED, _SWAPPED))


def weighed(marks: Iterable[str]) -> tuple[float, tuple[str, ...]]:
    """Return which share of a case's own cores others took, and of saved marks those that no verdict can allow for."""
    taken, beyond = 0.0, []
    for mark in disturbing(marks):
        share = _TAKEN.fullmatch(mark)
        if share is not None and int(share[1]) / 100 <= MOST_WEIGHED:
            taken = max(taken, int(share[1]) / 100)
        else:
            beyond.append(mark)
    return taken, tuple(beyond)


def unfit(observation: Observation | None) -> tuple[str, ...]:
    """Return the marks of a launch after which its times compare with no other's; () where nobody looked."""
    return weighed(disturbance_marks([observation]))[1] if observation is not None else ()


def _throttled(observation: Observation) -> float:
    """For what share of the rounds a limit kept threads from their cores, added up over cores."""
    counted = observation.points(lambda reading: reading.host.throttled_s)
    grown = growth(counted, observation.start_s, observation.end_s)
    return grown / observation.span_s if grown and observation.span_s else 0.0


def _taken(observation: Observation) -> float:
    """Return the mean of ``others_on_owned``; 0 where that is not told."""
    shares = others_on_owned(observation)
    return fmean(shares) if shares else 0.0


def _swapped_bytes(observation: Observation) -> float:
    span = observation.start_s, observation.end_s
    moved_in = growth(observation.points(lambda reading: reading.host.swapped_in_bytes), *span)
    moved_out = growth(observation.points(lambda reading: reading.host.swapped_out_bytes), *span)
    return max(moved_in or 0.0, moved_out or 0.0)
