"""Who judges the cases of a session: saved sessions, or the other side that it measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_gpt_dist.compare.ab import Beside, describe_sides, judge_sides
from pytest_gpt_dist.compare.baselines import (
    Baselines,
    MeasuredCase,
    judge_session,
    read_baselines,
)
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.results.text import first_lines


@dataclass(frozen=True, slots=True)
class TimedCase:
    """A case of this session: the test's id, what it saved, and the smallest effect that matters for it."""

    name: str
    info: Mapping[str, Any]
    min_effect: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts, what else was seen beside them, and lines about what could not be used."""

    verdicts: tuple[Verdict, ...]
    beside: tuple[Beside, ...] = ()
    notes: tuple[str, ...] = ()


class Judge(Protocol):
    """Gives the verdicts of a session."""

    def __call__(self, cases: Sequence[TimedCase]) -> Judged:
        """One verdict for each case, or more where more than the time of its work may fail it."""
        ...


@dataclass(frozen=True, slots=True)
class BySavedSessions:
    """Judges against the sessions saved below a folder."""

    folder: Path

    def __call__(self, cases: Sequence[TimedCase]) -> Judged:
        """Read the folder and judge; a folder that is not there holds no session."""
        measured = [MeasuredCase.of(case.name, case.info) for case in cases]
        baselines = read_baselines([self.folder], measured) if os.path.isdir(self.folder) else Baselines(())
        verdicts = judge_session(measured, baselines.cases, _min_effects(cases))
        return Judged(tuple(verdicts), notes=first_lines(baselines.skipped))


@dataclass(frozen=True, slots=True)
class ByOtherSide:
    """Judges by the pairs of launches that each case saved; ``gates`` name what gates besides."""

    gates: tuple[str, ...]

    def __call__(self, cases: Sequence[TimedCase]) -> Judged:
        """Judge all cases together."""
        saved = [(case.name, case.info) for case in cases]
        verdicts = judge_sides(saved, _min_effects(cases), self.gates)
        return Judged(tuple(verdicts), beside=tuple(describe_sides(saved)))


def _min_effects(cases: Sequence[TimedCase]) -> dict[str, float]:
    return {case.name: case.min_effect for case in cases}
