"""Which case is best at something, and whether the cases that compete for that can be believed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.names import plain_name
from pytest_gpt_dist.results.text import first_of
from pytest_gpt_dist.telemetry.disturbances import WHAT_TO_DO

DISTURBED_BY_AT_MOST = 0.5
"""A disturbed case may have lost that share of its speed, so it competes with up to twice its figure."""
DRIFTS_BY_AT_MOST = 0.1
"""And a drifting one that share."""
_SHARED_CORES, _SHARED_GPU, _DRIFTING = "oversubscribed", "shared GPU", "drifting"
_WHAT_TO_DO = {
    **WHAT_TO_DO,
    _DRIFTING: "measure with more warm-up (--gpt-warmup) and several launches (--gpt-launches=5)",
    _SHARED_CORES: "ask for no more ranks than there are cores (--gpt-gpus)",
    _SHARED_GPU: "ask for no more ranks than there are GPUs (--gpt-gpus)",
}


@dataclass(frozen=True)
class Doubt:
    """A case that may be better than it looks, or is no measure of its devices; ``mark`` says by what."""

    case: CaseFigures
    mark: str

    @property
    def kind(self) -> str:
        """The mark without its particulars."""
        return self.mark.partition(":")[0]


@dataclass(frozen=True)
class Contest:
    """The cases that count, the best first, and how many are ``competing``: the best and what might be better.

    With ``doubts`` there is no answer; ``level`` are those that cannot be told from the best. What shares its cores or
    its GPU is no measure of so many devices, so it counts only where nothing else is there.
    """

    ranked: tuple[CaseFigures, ...]
    competing: int
    level: tuple[CaseFigures, ...]
    doubts: tuple[Doubt, ...]

    @property
    def best(self) -> CaseFigures:
        """The first of them."""
        return self.ranked[0]

    @property
    def next(self) -> CaseFigures | None:
        """The second of them; None where there is one alone."""
        return self.ranked[1] if len(self.ranked) > 1 else None

    def why_open(self, cases: Sequence[CaseFigures]) -> str:
        """Return which of the cases are in doubt by what; empty where there is an answer."""
        marked: dict[str, list[str]] = {}
        for doubt in self.doubts:
            marked.setdefault(doubt.mark, []).append(plain_name(doubt.case, cases))
        return first_of([f"{first_of(names)} ({mark})" for mark, names in marked.items()], "; ")

    @property
    def what_to_do(self) -> str:
        """How to get an answer; empty where there is one."""
        kinds = dict.fromkeys(doubt.kind for doubt in self.doubts)
        advice = "; ".join(advice_on(kind) for kind in kinds)
        return f"{advice[:1].upper()}{advice[1:]}; then measure again." if advice else ""


def advice_on(kind: str) -> str:
    """Return what to do against a mark or a state of that kind; empty where nothing is known to help."""
    return _WHAT_TO_DO.get(kind, "")


def shares_a_device(case: CaseFigures) -> str:
    """Return how ranks of a case share what each should have alone; empty where they do not."""
    if case.oversubscribed:
        return _SHARED_CORES
    return _SHARED_GPU if case.shared_gpu else ""


def contest(
    cases: Sequence[CaseFigures],
    score: Callable[[CaseFigures], float],
    level: Callable[[CaseFigures, CaseFigures], bool] = lambda best, other: False,
) -> Contest:
    """Rank cases by a score of which more is better; ``level`` says whether another case is not clearly behind."""
    alone = [case for case in cases if not shares_a_device(case)]
    ranked = tuple(sorted(alone or cases, key=score, reverse=True))
    doubts = tuple(_doubts(ranked, cases, score))
    least = (1 - DISTURBED_BY_AT_MOST) * score(ranked[0])
    in_doubt = [doubt.case for doubt in doubts]
    return Contest(
        ranked,
        sum(case in in_doubt or (case in ranked and score(case) >= least) for case in cases),
        () if doubts else tuple(case for case in ranked[1:] if level(ranked[0], case)),
        doubts,
    )


def _doubts(
    ranked: Sequence[CaseFigures], cases: Iterable[CaseFigures], score: Callable[[CaseFigures], float]
) -> Iterator[Doubt]:
    best = ranked[0]
    crowded = [case for case in cases if shares_a_device(case)]
    if len(crowded) > 1 and best in crowded:
        yield from (Doubt(case, shares_a_device(case)) for case in crowded)
    else:
        yield from (Doubt(case, shares_a_device(case)) for case in crowded if score(case) > score(best))
    near = [case for case in ranked if score(case) * (1 + DRIFTS_BY_AT_MOST) >= score(best)]
    for case in ranked:
        if case.disturbed and score(case) >= (1 - DISTURBED_BY_AT_MOST) * score(best):
            yield from (Doubt(case, mark) for mark in case.disturbed)
        elif len(near) > 1 and case in near:
            yield from (Doubt(case, mark) for mark in case.marks if mark.startswith(_DRIFTING))
