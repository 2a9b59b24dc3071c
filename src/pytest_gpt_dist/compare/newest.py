"""The launches of a session beside those of the last one before it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.compare.baselines import MeasuredCase
from pytest_gpt_dist.compare.welch import LaunchDifference, launch_difference


def describe_launches(
    current: Sequence[MeasuredCase], earlier: Sequence[MeasuredCase]
) -> list[tuple[str, LaunchDifference]]:
    """By case, what its launches differ by from those of the newest earlier session with the same fingerprint.

    Cases that have fewer than eight launches on a side are left out.
    """
    described = []
    for case in current:
        matching = [
            saved for saved in earlier if (saved.name, saved.fingerprint) == (case.name, case.fingerprint)
        ]
        if not matching:
            continue
        newest = max(matching, key=lambda saved: saved.saved_at)
        difference = launch_difference(newest.launches, case.launches)
        if difference is not None:
            described.append((case.name, difference))
    return described
