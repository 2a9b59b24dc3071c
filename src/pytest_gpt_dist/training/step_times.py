"""Where the time of a step goes: what ranks note, and what follows from all of them. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_gpt_dist.measure.time_lost import Overheads


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step on one rank.

    Attributes:
        collectives_s: by the ranks of a group, for how long each of its collectives kept the thread that trains, in
            their order, waiting for other ranks included; what goes on beside computation costs nothing.
        hops_s: in sends, and in waiting for what other stages send.
        optimizer_s: clipping and the optimizer, without communication.
        loading_s: making the microbatches, before the step.
    """

    collectives_s: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]
    hops_s: float
    optimizer_s: float
    loading_s: float

    @property
    def communication_s(self) -> float:
        """Return the seconds in all collectives."""
        return sum(sum(seconds) for _, seconds in self.collectives_s)


def step_overheads(seconds: Sequence[float], times: Sequence[StepTimes | None]) -> Overheads | None:
    """Return where a step went, as far as it was not the ranks' own work; None where they could not tell.

    A collective cannot end before its last rank has come, who waits for nobody: the shortest time that one of its
    ranks spends in it is what the collective itself takes, and what the others spend there beyond that is waiting.

    Args:
        seconds: how long each rank was busy with the step, by rank.
        times: what each of them noted, by rank.

    Raises:
        ValueError: when the ranks of a group did not take part in the same number of collectives.
    """
    known = [each for each in times if each is not None]
    if len(known) < len(times):
        return None
    by_rank = [dict(each.collectives_s) for each in known]
    groups = {group for each in by_rank for group in each}
    transfer_s = sum(
        len(group) * sum(map(min, zip(*(by_rank[rank][group] for rank in group), strict=True)))
        for group in groups
    ) / len(known)
    slowest_s = max(seconds)
    return Overheads(
        communication_s=transfer_s,
        bubble_s=fmean(each.hops_s for each in known),
        imbalance_s=fmean(each.communication_s for each in known)
        - transfer_s
        + fmean(slowest_s - own_s for own_s in seconds),
    )
