"""Two sides on one machine: pairs of interleaved launches, screened, confirmed, and judged as a suite.

Every case is screened with four pairs; a suspect is confirmed at once with twelve fresh data, each of one to four
pairs, as the noise of the screening demands; when the session ends, the suspects of all cases share one error level.
How many pairs there are is decided before the first of them, and only the fresh ones are tested, so that having been
picked by the screening costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, expm1, inf, log, log1p, sqrt
from statistics import fmean
from typing import Literal

from pytest_gpt_dist.compare.statistics import holm, sign_flip_p, student_quantile, variance
from pytest_gpt_dist.compare.verdict import (
    BOUND_CONFIDENCE,
    MIN_EFFECT,
    Kind,
    Verdict,
    require_min_effect,
    settle,
)
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.statistics import require_times

Side = Literal["before", "after"]
Order = tuple[tuple[Side, Side], ...]
Direction = Literal["slower", "faster"]

LEVEL = 0.01
"""Of all cases of a session together, one-sided."""
SCREENING_PAIRS = 4
CONFIRMATION_DATA = 12
"""Of a confirmation; each is the mean of as many pairs as the noise demands."""
MOST_PAIRS_A_DATUM = 4
RESOLVED = 0.05
"""A change that a confirmation is to find in nine of ten cases, where its pairs are as noisy as the screening's."""
LONGEST_CONFIRMATION_S = 480.0
"""Beyond it a case gets one pair a datum, however noisy they are."""
INTERVAL_CONFIDENCE = 0.95
_MOST_SUSPECTS = int(LEVEL * 2**CONFIRMATION_DATA)
_MOST_LAUNCHES = 1000
_CONFIRMATIONS = tuple(CONFIRMATION_DATA * pairs for pairs in range(1, MOST_PAIRS_A_DATUM + 1))
_POWER_90 = 4.0
"""Standard errors between nothing and what is found in nine of ten: those of the test's level, and 1.28 more."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two launches measured one after the other: their data (``launch_datum``), in seconds.

    UsageError for what is no time.
    """

    before_s: float
    after_s: float

    def __post_init__(self) -> None:
        require_times((self.before_s, self.after_s), "launches of a pair")

    @property
    def log_ratio(self) -> float:
        """Log of after over before: above 0 when it got slower."""
        return log(self.after_s) - log(self.before_s)


@dataclass(frozen=True, slots=True)
class PairedCase:
    """What was measured of one case: ``confirmation`` if it is a suspect and that was finished, else ().

    ``null_control`` holds as many pairs of launches that were all of one side, in the order and the roles
    of a confirmation; () where no control was asked for.
    """

    case: str
    screening: tuple[Pair, ...]
    confirmation: tuple[Pair, ...] = ()
    null_control: tuple[Pair, ...] = ()
    min_effect: float = MIN_EFFECT

    def __post_init__(self) -> None:
        require_min_effect(self.min_effect)
        for name, pairs, allowed in (
            ("screening", self.screening, (SCREENING_PAIRS,)),
            ("confirmation", self.confirmation, (0, *_CONFIRMATIONS)),
            ("null control", self.null_control, (0, *_CONFIRMATIONS)),
        ):
            if len(pairs) not in allowed:
                needed = " or ".join(str(count) for count in allowed if count)
                raise UsageError(
                    f"{self.case}: its {name} has {len(pairs)} pairs, and the test needs {needed}: "
                    "measure the case again"
                )
        if self.confirmation and suspect(self.screening, self.min_effect) is None:
            raise UsageError(
                f"{self.case}: it was confirmed though its screening raised no suspicion: measure the case again"
            )


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change of time over pairs, with its two-sided 95% interval."""

    effect: float
    interval: tuple[float, float]


def change(pairs: Sequence[Pair]) -> Change:
    """How much pairs differ, by Student's t on their log ratios; at least two of them."""
    ratios = [pair.log_ratio for pair in pairs]
    shift = fmean(ratios)
    error = sqrt(variance(ratios) / len(ratios))
    half_width = student_quantile((1 + INTERVAL_CONFIDENCE) / 2, len(ratios) - 1) * error
    return Change(expm1(shift), (expm1(shift - half_width), expm1(shift + half_width)))


def screening_order() -> Order:
    """Who runs first in each of the four pairs that every case gets: AB BA AB BA."""
    ab: tuple[Side, Side] = ("before", "after")
    ba: tuple[Side, Side] = ("after", "before")
    return (ab, ba, ab, ba)


def confirmation_order(pairs_a_datum: int = 1) -> Order:
    """Who runs first in each pair that a suspect gets: BA AB AB BA, three times for each pair of a datum.

    The side that the screening did not begin with is first. Each four pairs cancel a drift of the machine
    whose slope is constant or changes evenly.
    """
    ab: tuple[Side, Side] = ("before", "after")
    ba: tuple[Side, Side] = ("after", "before")
    return (ba, ab, ab, ba) * (CONFIRMATION_DATA // 4) * pairs_a_datum


def pairs_a_datum(screening: Sequence[Pair], pair_s: float) -> int:
    """Return how many pairs each of a confirmation's data is the mean of, 1 to 4.

    As many as find a change of ``RESOLVED`` in nine of ten cases, if pairs go on to differ as those of the
    ``screening`` do, and as fit in ``LONGEST_CONFIRMATION_S``, a pair taking ``pair_s``.
    """
    spread = sqrt(variance([pair.log_ratio for pair in screening]))
    wanted = ceil((_POWER_90 * spread / log1p(RESOLVED)) ** 2 / CONFIRMATION_DATA)
    room = int(LONGEST_CONFIRMATION_S / (CONFIRMATION_DATA * pair_s))
    return max(1, min(wanted, room, MOST_PAIRS_A_DATUM))


def data(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the twelve data of a confirmation's pairs: geometric means of as many neighbours each."""
    size = len(pairs) // CONFIRMATION_DATA
    if size < 2:
        return tuple(pairs)
    groups = [pairs[first : first + size] for first in range(0, len(pairs), size)]
    return tuple(
        Pair(
            exp(fmean(log(pair.before_s) for pair in group)), exp(fmean(log(pair.after_s) for pair in group))
        )
        for group in groups
    )


def suspect(screening: Sequence[Pair], min_effect: float = MIN_EFFECT) -> Direction | None:
    """Which way a case has to be confirmed: its mean log ratio is beyond half of ``min_effect``."""
    shift = fmean(pair.log_ratio for pair in screening)
    if shift > min_effect / 2:
        return "slower"
    if shift < -min_effect / 2:
        return "faster"
    return None


def flagged(pairs: Sequence[Pair], min_effect: float = MIN_EFFECT) -> Direction | None:
    """Which way pairs differ taken alone: p at most the level, before Holm, and beyond ``min_effect``.

    A case whose confirmation is flagged is the one that needs a null control.
    """
    pairs = data(pairs)
    ratios = [pair.log_ratio for pair in pairs]
    direction: Direction = "slower" if fmean(ratios) > 0 else "faster"
    beyond = abs(fmean(ratios)) > log1p(min_effect)
    return direction if beyond and _p_value(pairs, direction) <= LEVEL else None


def judge_paired(cases: Sequence[PairedCase]) -> tuple[Verdict, ...]:
    """Return the verdicts on all cases of a session, in their order.

    Suspects of a slowdown share ``LEVEL`` by Holm's correction, and so, apart from them, do suspects of a
    speed-up. A suspect whose confirmation is missing counts among them and is `inconclusive`.
    """
    directions = [suspect(case.screening, case.min_effect) for case in cases]
    p_values = [
        _p_value(data(case.confirmation), direction) if direction and case.confirmation else None
        for case, direction in zip(cases, directions, strict=True)
    ]
    rejected: set[int] = set()
    for direction in ("slower", "faster"):
        family = [index for index, found in enumerate(directions) if found == direction]
        decisions = holm([1.0 if (p := p_values[index]) is None else p for index in family], LEVEL)
        rejected.update(index for index, decided in zip(family, decisions, strict=True) if decided)
    verdicts = []
    for index, (case, found) in enumerate(zip(cases, directions, strict=True)):
        suspects = directions.count(found) if found else directions.count("slower") + 1
        verdicts.append(_verdict(case, found, p_values[index], rejected=index in rejected, suspects=suspects))
    return tuple(verdicts)


def launches_needed(
    shift: float, spread: float, *, level: float, min_effect: float, more_than: int
) -> int | None:
    """How many launches a side would probably settle a case, ``more_than`` not having done so.

    ``shift`` is the mean of its pairs' log ratios, ``spread`` their standard deviation, ``level`` the error
    that a rejection may have; t in place of the exact test. None if a thousand would not do.
    """
    for pairs in range(more_than + 1, _MOST_LAUNCHES + 1):
        error = spread / sqrt(pairs)
        limit = student_quantile(1 - level, pairs - 1) * error
        bound = student_quantile(BOUND_CONFIDENCE, pairs - 1) * error
        if settle(shift, limit=limit, bound=bound, min_effect=min_effect) != "inconclusive":
            return pairs
    return None


def _p_value(pairs: Sequence[Pair], direction: Direction) -> float:
    sign = 1 if direction == "slower" else -1
    return sign_flip_p([sign * pair.log_ratio for pair in pairs])


def _verdict(
    case: PairedCase, direction: Direction | None, p_value: float | None, *, rejected: bool, suspects: int
) -> Verdict:
    """Of one case; ``suspects`` are how many it shares the level with, or would if it were one."""
    pairs = data(case.confirmation) or case.screening
    measured = len(case.confirmation or case.screening)
    ratios = [pair.log_ratio for pair in pairs]
    count, shift, spread = len(ratios), fmean(ratios), sqrt(variance(ratios))
    error = spread / sqrt(count)
    bound = student_quantile(BOUND_CONFIDENCE, count - 1) * error
    seen = change(pairs)
    share = LEVEL / suspects
    reach = student_quantile(1 - share, CONFIRMATION_DATA - 1) * spread / sqrt(CONFIRMATION_DATA)

    unconfirmed = direction is not None and not case.confirmation
    kind: Kind = "inconclusive"
    if not unconfirmed:
        kind = settle(shift, limit=0.0 if rejected else inf, bound=bound, min_effect=case.min_effect)
    needed = None
    if unconfirmed:
        needed = CONFIRMATION_DATA
        why = f"{direction} in its screening, and the confirmation was not finished: measure it again"
    elif kind in ("regressed", "improved"):
        why = f"{measured} fresh pairs, p = {p_value:.2g}, and beyond {case.min_effect:.1%}"
        if case.null_control and flagged(case.null_control, case.min_effect):
            control = fmean(pair.log_ratio for pair in case.null_control)
            kind = "inconclusive"
            why = f"launches of one side alone differed by {expm1(control):+.1%}: the machine is not steady"
    elif kind == "unchanged":
        why = f"at most {expm1(shift + bound):+.1%} with 95% confidence, from {measured} pairs"
    elif share < 2.0**-CONFIRMATION_DATA:
        why = f"with {suspects} suspects twelve pairs can show nothing: select at most {_MOST_SUSPECTS} cases"
    else:
        size = measured // count
        needed = launches_needed(shift, spread, level=share, min_effect=case.min_effect, more_than=count)
        needed = None if needed is None else needed * size
        enough = f"a quieter machine, or about {needed} launches a side, would"
        would = enough if needed else "a thousand launches would not"
        why = f"pairs differ by {spread * sqrt(size):.1%}, too much for {measured} of them: {would} settle it"
    return Verdict(
        case=case.case,
        kind=kind,
        mode="paired",
        after_s=exp(fmean(log(pair.after_s) for pair in pairs)),
        before_s=exp(fmean(log(pair.before_s) for pair in pairs)),
        effect=seen.effect,
        interval=seen.interval,
        confidence=INTERVAL_CONFIDENCE,
        detectable=expm1(max(reach, log1p(case.min_effect))),
        used=measured,
        why=why,
        needed_launches=needed,
        p_value=p_value,
    )
