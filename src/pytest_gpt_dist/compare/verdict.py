"""What is said about a case: one of five kinds, with the figures that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import log1p
from typing import Any, Literal

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.results.result_format import ResultFormat

Kind = Literal["regressed", "improved", "unchanged", "inconclusive", "no-baseline"]
Mode = Literal["stored", "paired"]
CHANGED: tuple[Kind, ...] = ("regressed", "improved")
MIN_EFFECT = 0.02
"""The default of the smallest slowdown worth a failure, relative to the time before."""
BOUND_CONFIDENCE = 0.95
"""Of the one-sided upper bound that `unchanged` needs."""


@dataclass(frozen=True, slots=True)
class JudgedTime:
    """What a verdict is on: the time of a unit of work, or a latency.

    ``key`` is its name in saved verdicts; ``label`` that of a latency in tables, empty for the time itself; ``rate``
    the unit of that one's inverse, such as tokens/s, and empty for a latency.
    """

    key: str
    label: str = ""
    rate: str = ""

    @classmethod
    def of(cls, form: ResultFormat, gates: Sequence[str] = ()) -> tuple[JudgedTime, ...]:
        """Return the times of a mode that can fail a session: that of its work, and the gates that were asked for."""
        asked = [gate for option in gates for gate in form.gates if gate.option == option]
        return (cls(form.time, rate=form.rate), *(cls(gate.key, gate.label) for gate in asked))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a session says about one case. Times are seconds of ``metric``, effects relative changes of time.

    ``metric`` is the key of a ``JudgedTime``, with its ``label`` and ``rate``. ``remedy`` is what to do about a
    `no-baseline`, empty where nothing is known to help.

    An ``effect`` of +0.05 is 5% slower. ``interval`` holds it with a probability of ``confidence``.
    ``detectable`` is the smallest slowdown that would have been called `regressed` had it been observed.
    ``used`` counts what the verdict rests on: earlier sessions (stored) or pairs of launches (paired).
    ``needed_launches`` is the number of launches (paired: a side, stored: in every session) that would
    probably settle an `inconclusive`; None elsewhere, and where launches alone would not. ``p_value`` is
    that of the paired test, None where there was none. ``machine`` is the relative change of the yardstick beside
    the case, None where a side has none; ``fresh_launches`` are those of a second look (stored). What does not exist
    is None: for `no-baseline` all of it but ``after_s``, and that, too, of a latency that the case does not have.
    """

    case: str
    kind: Kind
    mode: Mode
    after_s: float | None
    before_s: float | None
    effect: float | None
    interval: tuple[float, float] | None
    confidence: float | None
    detectable: float | None
    used: int
    why: str
    needed_launches: int | None = None
    p_value: float | None = None
    metric: str = ""
    label: str = ""
    rate: str = ""
    remedy: str = ""
    machine: float | None = None
    fresh_launches: int = 0

    @classmethod
    def without_baseline(
        cls, case: str, mode: Mode, after_s: float | None, why: str, remedy: str = ""
    ) -> Verdict:
        """`no-baseline`: there is nothing to compare ``after_s`` with, for the reason ``why``."""
        return cls(
            case=case,
            kind="no-baseline",
            mode=mode,
            after_s=after_s,
            before_s=None,
            effect=None,
            interval=None,
            confidence=None,
            detectable=None,
            used=0,
            why=why,
            remedy=remedy,
        )

    def on(self, time: JudgedTime) -> Verdict:
        """Return the verdict as one on that time."""
        return replace(self, metric=time.key, label=time.label, rate=time.rate)

    @property
    def fails(self) -> bool:
        """Whether it fails the session: a regression does, nothing else."""
        return self.kind == "regressed"

    def doubted(self, disturbances: Sequence[str]) -> Verdict:
        """`inconclusive` in place of a change, if the launches that it rests on were disturbed by these marks."""
        if self.kind not in CHANGED or not disturbances:
            return self
        why = f"{', '.join(disturbances)}: end that, then measure again; otherwise {self.kind}: {self.why}"
        return replace(self, kind="inconclusive", why=why)

    def as_dict(self) -> dict[str, Any]:
        """As it is saved, without what readers know from the mode of the case; every value is plain JSON."""
        entries = asdict(self)
        del entries["label"], entries["rate"], entries["remedy"]
        entries["interval"] = list(self.interval) if self.interval else None
        return entries


def settle(
    shift: float, *, limit: float, bound: float, min_effect: float
) -> Literal["regressed", "improved", "unchanged", "inconclusive"]:
    """Return the kind for a shift of log time that is significant beyond ±``limit``, known upwards to ``bound``.

    All but ``min_effect`` are differences of natural logarithms. Exchanging the sides mirrors `regressed`
    and `improved`; `unchanged` looks upwards only, because its question is whether the case got slower.
    """
    threshold = max(limit, log1p(min_effect))
    if shift > threshold:
        return "regressed"
    if shift < -threshold:
        return "improved"
    if shift + bound < log1p(2 * min_effect):
        return "unchanged"
    return "inconclusive"


def require_min_effect(min_effect: float) -> None:
    """Raise UsageError unless it is a share of the time above 0 and below 1."""
    if not 0 < min_effect < 1:
        raise UsageError(
            f"min_effect is {min_effect}: give the smallest slowdown that matters as a share of the time, "
            "above 0 and below 1 (0.02 is 2%)"
        )
