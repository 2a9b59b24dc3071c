"""Where the time of a round goes that is nobody's work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.comm_time import CommTime

MEASURED = ("communication", "bubble", "imbalance")
"""Each a field of ``Overheads``, in seconds, and a key of what is saved, as a share."""
TIME_LOST = (*MEASURED, "host", "other")


@dataclass(frozen=True)
class Overheads:
    """Seconds of a round, the mean of its ranks.

    Attributes:
        communication_s: in collectives, from when their last rank has come.
        bubble_s: in sends, and waiting for another stage.
        imbalance_s: waiting in collectives for their last rank, and at the end for the slowest one.
    """

    communication_s: float
    bubble_s: float
    imbalance_s: float


def overheads(
    layout: Layout, seconds: Sequence[float], comm_times: Sequence[CommTime | None]
) -> Overheads | None:
    """Return where a round went, as far as it was not the ranks' own work; None where they could not tell.

    A collective cannot end before its last rank has come, who waits for nobody: the shortest time that one of
    its ranks spends in it is what the collective itself takes, and what the others spend there beyond that is
    waiting. It takes no barrier, which would change what is measured, and no clock that ranks share.

    Args:
        layout: degrees of the world.
        seconds: how long each rank was busy with the round, by rank.
        comm_times: of each of them, by rank.

    Raises:
        ValueError: when the ranks of a group did not make the same number of collectives.
    """
    known = [each for each in comm_times if each is not None]
    if len(known) < len(comm_times):
        return None
    transfer_s = sum(
        len(group) * sum(map(min, zip(*(known[rank].collectives_s for rank in group), strict=True)))
        for group in layout.tensor_groups
    ) / len(known)
    slowest_s = max(seconds)
    return Overheads(
        communication_s=transfer_s,
        bubble_s=fmean(each.hops_s for each in known),
        imbalance_s=fmean(sum(each.collectives_s) for each in known)
        - transfer_s
        + fmean(slowest_s - own_s for own_s in seconds),
    )


def time_lost(rounds_s: Sequence[float], found: Sequence[Overheads | None]) -> dict[str, float | None]:
    """Return the shares of the rounds that each kind of loss took; None for what is not known.

    ``host`` is known of no backend yet, and ``other`` takes an efficiency, see ``other``.
    """
    known = [each for each in found if each is not None]
    shares: dict[str, float | None] = dict.fromkeys(TIME_LOST)
    if known and len(known) == len(rounds_s):
        total_s = sum(rounds_s)
        shares |= {kind: sum(getattr(each, f"{kind}_s") for each in known) / total_s for kind in MEASURED}
    return shares


def other(shares: dict[str, float | None], efficiency: float | None) -> float | None:
    """Return what is lost to nothing that was measured: ``1 - efficiency`` without the shares that are known.

    Negative where ranks do their work faster than one device does. None where a share or the efficiency is not
    known.
    """
    known = [share for share in map(shares.get, MEASURED) if share is not None]
    return None if efficiency is None or len(known) < len(MEASURED) else 1 - efficiency - sum(known)
