"""The launches of a session beside those of the last one before it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from pytest_gpt_dist.compare.baselines import MeasuredCase
from pytest_gpt_dist.compare.welch import LaunchDifference, launch_difference


def describe_launches(
    current: Sequence[MeasuredCase], earlier: Sequence[MeasuredCase]
) -> list[tuple[str, LaunchDifference]]:
    """By case, what its launches differ by from those of the newest earlier session with the same fingerprint.

    Cases that have fewer than eight launches on a side are left out.
    """
    newest: dict[Hashable, MeasuredCase] = {}
    for saved in earlier:
        known = newest.setdefault(saved.identity, saved)
        if saved.saved_at > known.saved_at:
            newest[saved.identity] = saved
    described = []
    for case in current:
        last = newest.get(case.identity)
        difference = None if last is None else launch_difference(last.launches, case.launches)
        if difference is not None:
            described.append((case.name, difference))
    return described
