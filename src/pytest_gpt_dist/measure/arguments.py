"""The arguments that a test may give in every mode: how its case is timed, and what counts as a difference."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pytest_gpt_dist.config.settings import Options, check_argument
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.registry import unknown

TIMING = ("warmup", "rounds", "min_rounds", "max_time", "launches")
MIN_EFFECT = "min_effect"


def of_mode(arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the arguments that are a mode's own, of which ``names`` are known.

    UsageError, in one line, for a name that nobody knows, and for a wrong value of those that every mode has.
    """
    given = {name: value for name, value in arguments.items() if name != MIN_EFFECT}
    for name, value in given.items():
        if name in TIMING and value is not None:
            check_argument(name, value)
        elif name not in names and name not in TIMING:
            raise unknown("argument", name, (*names, *TIMING))
    return {name: value for name, value in given.items() if name not in TIMING}


def timing_of(arguments: Mapping[str, Any], options: Options) -> Timing:
    """Return how a case is timed: by the arguments, and where they say nothing by the options."""
    warmup, rounds, min_rounds, max_time_s, launches = (
        getattr(options, name) if arguments.get(name) is None else arguments[name] for name in TIMING
    )
    return Timing(warmup, rounds, min_rounds, max_time_s, launches)


def min_effect_of(arguments: Mapping[str, Any]) -> float | None:
    """Return the smallest effect that a test asks for, None where it does not; UsageError where it is none."""
    value: float | None = arguments.get(MIN_EFFECT)
    if value is not None:
        check_argument(MIN_EFFECT, value)
    return value
