"""What verdicts know of one session's measurement of a case: its launches, and what the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log
from statistics import fmean

from pytest_gpt_dist.measure.statistics import fastest_rounds, launch_datum, require_times, session_datum


@dataclass(frozen=True, slots=True)
class LaunchTimes:
    """Two data of one launch, in seconds per unit of work: that of a typical round, and that of its fastest rounds.

    A neighbour who comes for a part of a launch moves the first and not the second; slower code moves both.
    ``yardstick`` has the log seconds of each of its pieces beside the rounds; empty without one.
    """

    typical_s: float
    fastest_s: float
    yardstick: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, rounds_s: Sequence[float], yardstick: Mapping[str, float] | None = None) -> LaunchTimes:
        """Return the data of a launch with these rounds. UsageError for what is no time."""
        return cls(launch_datum(rounds_s), fastest_rounds(rounds_s), yardstick or {})


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """One session's launches of a case.

    Attributes:
        launches: at least one.
        taken: the share of the case's own cores that others took.
        fresh: the launches of a second look, which a case that seemed to have changed got later; None without one.
    """

    launches: tuple[LaunchTimes, ...]
    taken: float = 0.0
    fresh: SessionTimes | None = None

    def __post_init__(self) -> None:
        require_times([launch.typical_s for launch in self.launches], "launches of a session")

    @classmethod
    def of(cls, launches_s: Sequence[float], fresh_s: Sequence[float] = ()) -> SessionTimes:
        """Return the session of launches of which one datum each is known."""
        fresh = cls.of(fresh_s) if fresh_s else None
        return cls(tuple(LaunchTimes(each, each) for each in launches_s), fresh=fresh)

    @property
    def last_look(self) -> SessionTimes:
        """Return the session as its second look shows it, or as it is without one."""
        return self.fresh or self

    @property
    def datum(self) -> float:
        """Return log seconds per unit of work: the mean of the logs of its launches' typical rounds."""
        return session_datum([launch.typical_s for launch in self.launches])

    @property
    def fastest_datum(self) -> float:
        """Return the same of its launches' fastest rounds."""
        return session_datum([launch.fastest_s for launch in self.launches])

    @property
    def yardstick(self) -> Mapping[str, float]:
        """Return by piece the mean log seconds of the yardstick beside the launches; of pieces that all have."""
        first, *others = (launch.yardstick for launch in self.launches)
        pieces = [piece for piece in first if all(piece in other for other in others)]
        return {piece: fmean(each.yardstick[piece] for each in self.launches) for piece in pieces}

    @property
    def noise_of_others(self) -> float:
        """Return the standard deviation of log time that others' work adds: what they took made it so much longer."""
        return -log(1 - self.taken)

    def only(self, launch: LaunchTimes) -> SessionTimes:
        """Return the session as one of its launches shows it."""
        return replace(self, launches=(launch,))
