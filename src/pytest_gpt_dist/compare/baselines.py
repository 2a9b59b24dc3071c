"""Earlier sessions, read from the files that pytest-benchmark saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_gpt_dist.compare.stored import judge_stored, no_baseline
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.launches import launch_datum
from pytest_gpt_dist.measure.telemetry.disturbances import disturbing

NEWEST_SESSIONS = 30
"""So many matching sessions a case are compared with, the newest. A storage that every night adds to would
otherwise reach back to what the machine was a year ago, and more of them hardly narrow the interval: its width
goes with √(1 + 1/k), 1.02 at thirty. The rule is calibrated up to as many."""


@dataclass(frozen=True)
class MeasuredCase:
    """One case of one session: the test's id, its fingerprint, and one datum a launch in seconds per token.

    ``saved_at`` is when its session was saved, as pytest-benchmark writes it: ISO 8601 in UTC, so that text
    sorts by time; empty for what is not saved yet. The same launches saved twice, by autosave and as
    ``--benchmark-json``, are equal. ``disturbances`` are the marks after which its times do not compare.
    """

    name: str
    fingerprint: Mapping[str, Any]
    launches: tuple[float, ...]
    saved_at: str = field(default="", compare=False)
    disturbances: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any], saved_at: str = "") -> MeasuredCase:
        """The case that saved these entries. KeyError, TypeError or UsageError where it saved none."""
        launches = tuple(launch_datum(samples) for samples in info["launches"])
        return cls(name, info["fingerprint"], launches, saved_at, disturbing(info.get("marks", ())))


@dataclass(frozen=True)
class Baselines:
    """The cases of all readable files, and a line for each file that is not."""

    cases: tuple[MeasuredCase, ...]
    skipped: tuple[str, ...]


def read_baselines(folder: Path) -> Baselines:
    """Every case saved below a folder of pytest-benchmark's storage. What is damaged is named and skipped.

    A case that its own session found regressed is no baseline: repeated often enough it would hide itself.
    """
    cases: list[MeasuredCase] = []
    skipped: list[str] = []
    for path in sorted(folder.rglob("*.json")):
        try:
            cases += [case for case in read_session(path, with_regressed=False) if case not in cases]
        except UsageError as error:
            skipped.append(f"skipped: {error}")
    return Baselines(tuple(cases), tuple(skipped))


def read_session(path: Path, *, with_regressed: bool = True) -> tuple[MeasuredCase, ...]:
    """The cases of one file that pytest-benchmark saved. UsageError where it is none, or half written."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        verdicts = saved.get("gpt_dist", {}).get("verdicts", [])
        regressed = {verdict["case"] for verdict in verdicts if verdict["kind"] == "regressed"}
        cases = _cases(saved["benchmarks"], str(saved.get("datetime", "")))
        return tuple(case for case in cases if with_regressed or case.name not in regressed)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is damaged, or not saved by pytest-benchmark ({type(error).__name__})"
        ) from None


def judge_session(
    current: Sequence[MeasuredCase], baselines: Sequence[MeasuredCase], min_effects: Mapping[str, float]
) -> list[Verdict]:
    """A verdict for each case of a session, against the newest of the earlier ones of its id and fingerprint.

    Which files hold them does not matter: a case that the last session left out has its baseline in an
    older one. Sessions in which it was disturbed are left out, and a change of a case that is disturbed now
    is in doubt. ``min_effects`` are by case name.
    """
    return [_judge(case, baselines, len(current), min_effects[case.name]) for case in current]


def _judge(case: MeasuredCase, baselines: Sequence[MeasuredCase], cases: int, min_effect: float) -> Verdict:
    namesakes = [saved for saved in baselines if saved.name == case.name]
    matching = [saved for saved in namesakes if saved.fingerprint == case.fingerprint]
    if not matching:
        return no_baseline(case.name, case.launches, _nearest_difference(case, namesakes))
    undisturbed = [saved for saved in matching if not saved.disturbances]
    disturbed = [saved for saved in matching if saved.disturbances]
    if not undisturbed:
        why = f"every saved session of it was disturbed ({_kinds(disturbed)})"
        return replace(no_baseline(case.name, case.launches), why=why)
    newest = sorted(undisturbed, key=lambda saved: saved.saved_at)[-NEWEST_SESSIONS:]
    since = newest[0].saved_at if len(newest) == NEWEST_SESSIONS else ""
    left_out = [saved for saved in disturbed if saved.saved_at >= since]
    launches = [saved.launches for saved in newest]
    verdict = judge_stored(case.name, case.launches, launches, cases=cases, min_effect=min_effect)
    if left_out:
        said = f"disturbed sessions left out: {len(left_out)} ({_kinds(left_out)})"
        verdict = replace(verdict, why=f"{verdict.why}; {said}")
    return verdict.doubted(case.disturbances)


def _kinds(disturbed: Sequence[MeasuredCase]) -> str:
    """What disturbed them, without the particulars, in which no two sessions agree."""
    kinds = (mark.partition(":")[0] for case in disturbed for mark in case.disturbances)
    return ", ".join(dict.fromkeys(kinds))


def _cases(benchmarks: Sequence[Mapping[str, Any]], saved_at: str) -> Iterator[MeasuredCase]:
    """Those of them that this plugin measured; a file may hold anybody's benchmarks."""
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        if "fingerprint" in info:
            try:
                yield MeasuredCase.of(benchmark["fullname"], info, saved_at)
            except UsageError as error:
                raise ValueError(str(error)) from None


def _nearest_difference(case: MeasuredCase, namesakes: Sequence[MeasuredCase]) -> list[str]:
    """The keys in which the saved case that is most like this one differs."""
    differences = [
        [
            key
            for key in sorted({*case.fingerprint, *saved.fingerprint})
            if case.fingerprint.get(key) != saved.fingerprint.get(key)
        ]
        for saved in namesakes
    ]
    return min(differences, key=len, default=[])
