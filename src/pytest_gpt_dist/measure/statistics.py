"""One datum a launch: how its rounds, and then the launches of a session, become one number."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from statistics import fmean, median

from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.results.checked import time_s


def launch_datum(samples: Sequence[float]) -> float:
    """Return seconds per token of a launch: the median of its rounds, each as long as its slowest rank.

    UsageError when there is no round, or when one is no time that a machine can take.
    """
    require_times(samples, "rounds of a launch")
    return median(samples)


def session_datum(launches: Sequence[float]) -> float:
    """Return log seconds per token of a session: the mean of the logs of its launches' data."""
    require_times(launches, "launches of a session")
    return fmean(log(launch_s) for launch_s in launches)


def require_times(values: Sequence[float], of: str) -> None:
    """Raise UsageError unless there are values, all of them times that a machine can take."""
    if not values:
        raise UsageError(f"the {of} hold no time: measure at least one")
    for value in values:
        try:
            time_s(value)
        except ValueError:
            raise UsageError(
                f"the {of} hold {quoted(value)}, which is no time: leave that result out, or measure it again"
            ) from None
