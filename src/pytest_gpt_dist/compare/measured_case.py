"""One case of one session as verdicts see it, read from what the session saved."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from statistics import median
from typing import Any

from pytest_gpt_dist.compare.session_times import LaunchTimes, SessionTimes
from pytest_gpt_dist.compare.verdict import JudgedTime
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.results import checked
from pytest_gpt_dist.results.result_format import format_of
from pytest_gpt_dist.telemetry.disturbances import weighed

_A_TIME = JudgedTime("")


@dataclass(frozen=True)
class MeasuredCase:
    """One case of one session: the test's id, its fingerprint, and its times in seconds per unit of work.

    ``saved_at`` is when its session was saved, as pytest-benchmark writes it: ISO 8601 in UTC, so that text
    sorts by time; empty for what is not saved yet. ``disturbances`` are the marks after which its times do
    not compare. ``time`` is what verdicts are on. ``bound`` says by piece of the yardstick what its time is like.
    ``key`` stands for the fingerprint, and is equal for equal ones.
    """

    name: str
    fingerprint: Mapping[str, Any]
    times: SessionTimes
    saved_at: str = ""
    disturbances: tuple[str, ...] = ()
    time: JudgedTime = _A_TIME
    key: Hashable = field(default=None, repr=False)
    bound: Mapping[str, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.key is None:
            object.__setattr__(self, "key", checked.frozen(self.fingerprint))

    @classmethod
    def of(
        cls, name: str, info: Mapping[str, Any], saved_at: str = "", like: MeasuredCase | None = None
    ) -> MeasuredCase:
        """Return the case that saved these entries. UsageError, with the reason, where they are damaged.

        Nearly always the fingerprint is that of ``like``, another result of the case, and then takes no more memory.
        """
        try:
            fingerprint = checked.entries(info["fingerprint"])
            if like is None or like.fingerprint != fingerprint:
                like = None
            taken, disturbances = weighed(checked.maybe(checked.names, info.get("marks")) or ())
            return cls(
                name,
                fingerprint if like is None else like.fingerprint,
                _times(info, taken, _second_look(info.get("second_look"))),
                saved_at,
                disturbances,
                JudgedTime.of(format_of(info))[0],
                None if like is None else like.key,
                bound_of(info),
            )
        except checked.UNREADABLE as error:
            raise UsageError(checked.reason(error)) from None

    @property
    def launches(self) -> tuple[float, ...]:
        """Return one datum a launch."""
        return tuple(launch.typical_s for launch in self.times.launches)

    @property
    def identity(self) -> Hashable:
        """What agrees for the results of one case on one machine, and for no others."""
        return self.name, self.key

    @cached_property
    def result(self) -> Hashable:
        """What agrees for one result wherever it is saved: by autosave, as ``--benchmark-json``, or copied."""
        return self.identity, self.launches, self.disturbances


def bound_of(info: Mapping[str, Any]) -> Mapping[str, float]:
    """Return by piece of the yardstick the share of a saved case's time that is like it.

    What it communicates is like an all-reduce, and the rest like reading and multiplying alike: the mean of both
    explained what launches of a case that mostly multiplies differed by better than either.
    """
    shares = checked.maybe(checked.entries, info.get("time_lost")) or {}
    communication = min(checked.maybe(checked.amount, shares.get("communication")) or 0.0, 1.0)
    rest = (1 - communication) / 2
    return {"read_s": rest, "product_s": rest, "all_reduce_s": communication}


def _times(info: Mapping[str, Any], taken: float, fresh: SessionTimes | None) -> SessionTimes:
    launches = checked.launches(info["launches"])
    saved = info.get("yardstick") or [None] * len(launches)
    if len(saved) != len(launches):
        raise ValueError(f"{len(saved)} yardsticks of {len(launches)} launches")
    yardsticks = map(yardstick_of, saved)
    return SessionTimes(tuple(map(LaunchTimes.of, launches, yardsticks)), taken, fresh)


def _second_look(saved: Any) -> SessionTimes | None:
    if saved is None or not checked.entries(saved)["launches"]:
        return None
    taken, _ = weighed(checked.names(saved["marks"]))
    return _times(saved, taken, None)


def yardstick_of(saved: Any) -> Mapping[str, float]:
    """Return by piece the log of the median seconds of a saved launch's readings; nothing of a launch without."""
    pieces = checked.maybe(checked.entries, saved) or {}
    return {piece: log(median(map(checked.time_s, seconds))) for piece, seconds in pieces.items()}
