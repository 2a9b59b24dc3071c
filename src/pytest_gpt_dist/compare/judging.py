"""Who judges the cases of a session: saved sessions, or the other side that it measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_gpt_dist.compare.ab import Beside, describe_sides, judge_sides
from pytest_gpt_dist.compare.baselines import Baselines, read_baselines
from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.session_verdicts import judge_session, suspects
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.results.text import first_lines


@dataclass(frozen=True, slots=True)
class TimedCase:
    """A case of this session: the test's id, what it saved, and the smallest effect that matters for it."""

    name: str
    info: dict[str, Any]
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

    def suspects(self, cases: Sequence[TimedCase]) -> Sequence[str]:
        """Return the names of the cases that need fresh launches before they are judged."""
        ...


class BySavedSessions:
    """Judges against the sessions saved below a folder, which is read once; one that is not there holds no session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._baselines: Baselines | None = None

    def __call__(self, cases: Sequence[TimedCase]) -> Judged:
        """Judge all cases together."""
        measured, baselines = self._read(cases)
        verdicts = judge_session(measured, baselines.cases, _min_effects(cases))
        return Judged(tuple(verdicts), notes=first_lines(baselines.skipped))

    def suspects(self, cases: Sequence[TimedCase]) -> Sequence[str]:
        """Return the names of the cases that seem to have changed."""
        measured, baselines = self._read(cases)
        return suspects(measured, baselines.cases, _min_effects(cases))

    def _read(self, cases: Sequence[TimedCase]) -> tuple[list[MeasuredCase], Baselines]:
        measured = [MeasuredCase.of(case.name, case.info) for case in cases]
        if self._baselines is None:
            there = os.path.isdir(self._folder)
            self._baselines = read_baselines([self._folder], measured) if there else Baselines(())
        return measured, self._baselines


@dataclass(frozen=True, slots=True)
class ByOtherSide:
    """Judges by the pairs of launches that each case saved; ``gates`` name what gates besides."""

    gates: tuple[str, ...]

    def __call__(self, cases: Sequence[TimedCase]) -> Judged:
        """Judge all cases together."""
        saved = [(case.name, case.info) for case in cases]
        verdicts = judge_sides(saved, _min_effects(cases), self.gates)
        return Judged(tuple(verdicts), beside=tuple(describe_sides(saved)))

    def suspects(self, cases: Sequence[TimedCase]) -> Sequence[str]:
        """Return none: two sides confirm each case at once."""
        return ()


def _min_effects(cases: Sequence[TimedCase]) -> dict[str, float]:
    return {case.name: case.min_effect for case in cases}
