"""What a report says, in figures: cases that compare in groups, the best of each, means, spreads and gaps. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from statistics import fmean
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.grouping import workload
from pytest_gpt_dist.report.figures import CaseFigures, Figure, case_figures, unusable
from pytest_gpt_dist.report.saved import SavedCase
from pytest_gpt_dist.report.wording import LONGEST_PATH, first_of, one_line

EFFICIENCY_TARGET = 0.8
"""Share of a linear speed-up that counts as good."""
UTILIZATION_TARGET = 0.9
"""Share of the time in which a GPU should be busy."""

# Entries of the fingerprint that make another case of one test,
_OF_A_CASE = ("engine", "layout", "microbatches", "new_tokens", "prompt_tokens", "prompts_sha256", "requests")
# and all in which cases of one table differ; the first device's name stands for those of all.
_PER_CASE = {*_OF_A_CASE, "device_names", "engine_version", "interconnect"}
_DEGREES = re.compile(r"dp\d+pp\d+tp\d+")


@dataclass(frozen=True)
class Series:
    """Cases that differ in the number of devices: a strategy of an engine."""

    strategy: str
    engine: str

    def __str__(self) -> str:
        return self.strategy if self.engine == "native" else f"{self.strategy} · {self.engine}"


@dataclass(frozen=True)
class AtCount:
    """The strategies of an engine on one number of devices.

    ``mean_efficiency`` is the mean of the ``measured`` of its ``cases`` that have one, None where none has.
    """

    engine: str
    gpus: int
    cases: int
    measured: int
    mean_efficiency: float | None
    fastest: CaseFigures
    slowest: CaseFigures

    @property
    def spread(self) -> float | None:
        """How many times the slowest's throughput the fastest has; None where none is slower."""
        if self.fastest is self.slowest:
            return None
        return self.fastest.tokens_per_s / self.slowest.tokens_per_s


@dataclass(frozen=True)
class Loss:
    """The share of a case's time that one kind of loss takes."""

    case: CaseFigures
    kind: str
    share: float


@dataclass(frozen=True)
class Rating:
    """Which cases reach a target; ``unknown`` are those without the figure."""

    figure: Figure
    target: float
    reached: tuple[CaseFigures, ...]
    missed: tuple[CaseFigures, ...]
    unknown: tuple[CaseFigures, ...]


@dataclass(frozen=True)
class Group:
    """Cases that compare: one workload on one machine, by device count. ``gaps`` say what is not there."""

    heading: str
    machine: str
    cases: tuple[CaseFigures, ...]
    gaps: tuple[str, ...]

    @property
    def distinct(self) -> tuple[CaseFigures, ...]:
        """The cases without those that are another one under a second name, which would count twice."""
        return tuple(case for case in self.cases if not _repeats(case, self.cases))

    @property
    def series(self) -> tuple[Series, ...]:
        """By engine, and in the order of their first case."""
        engines = list(dict.fromkeys(case.engine for case in self.cases))
        found = dict.fromkeys(series_of(case) for case in self.cases)
        return tuple(sorted(found, key=lambda series: engines.index(series.engine)))

    @property
    def fastest(self) -> CaseFigures:
        """The case with the highest throughput."""
        return max(self.cases, key=attrgetter("tokens_per_s"))

    @property
    def by_count(self) -> tuple[AtCount, ...]:
        """For each engine, and each number of devices that it ran on."""
        there: dict[tuple[str, int], list[CaseFigures]] = {}
        for case in self.distinct:
            there.setdefault((case.engine, case.gpus), []).append(case)
        return tuple(_at_count(engine, gpus, cases) for (engine, gpus), cases in there.items())

    @property
    def largest_loss(self) -> Loss | None:
        """The largest of a case on several devices that share no core; None where none was measured."""
        losses = [
            Loss(case, kind, share)
            for case in self.distinct
            if case.gpus > 1 and case.lost is not None and not case.oversubscribed
            for kind, share in case.lost.measured.items()
        ]
        return max(losses, key=attrgetter("share"), default=None)

    @property
    def ratings(self) -> tuple[Rating, Rating]:
        """Of efficiency, which one device alone cannot lose, and of the GPUs' utilisation."""
        several = [case for case in self.distinct if case.gpus > 1]
        return (
            _rating("efficiency", EFFICIENCY_TARGET, several),
            _rating("gpu_utilization", UTILIZATION_TARGET, self.distinct),
        )

    @property
    def dates(self) -> str:
        """The day, or the first and the last of several, on which the figures were saved."""
        days = sorted({case.saved_at[:10] for case in self.cases if case.saved_at})
        return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "date unknown"


@dataclass(frozen=True)
class Findings:
    """Groups that do not compare with each other, the newest first.

    A line each: of the tests that ``failed`` before they were measured, of what else was ``left_out``, and of how
    the groups stand ``apart``.
    """

    groups: tuple[Group, ...]
    failed: tuple[str, ...]
    left_out: tuple[str, ...]
    apart: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """All of these lines."""
        return (*self.failed, *self.left_out, *self.apart)


@dataclass(frozen=True)
class _Circumstances:
    """What must agree for two cases to stand in one table, as JSON by key."""

    heading: str
    entries: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> _Circumstances:
        heading = workload(info)
        if not heading:
            raise KeyError("model, dtype, or another entry of the workload")
        entries = {key: value for key, value in info["fingerprint"].items() if key not in _PER_CASE}
        if info["device"] != "cpu":  # whose name is an entry already
            entries["device_name"] = info["device_name"]
        return cls(
            one_line(heading),
            tuple((key, json.dumps(entries[key], sort_keys=True)) for key in sorted(entries)),
        )

    def differs_from(self, other: _Circumstances) -> list[str]:
        mine, theirs = dict(self.entries), dict(other.entries)
        keys = [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
        return keys or ["the lengths of prompts or answers"]


@dataclass(frozen=True)
class _Read:
    """A saved case, and the figures read from it."""

    saved: SavedCase
    figures: CaseFigures

    def told(self, key: str) -> str:
        """An entry of the fingerprint, as JSON."""
        return json.dumps(self.saved.info["fingerprint"].get(key), sort_keys=True)

    @property
    def identity(self) -> tuple[str, ...]:
        """Agrees for two results of one case, and for no others."""
        return (self.saved.test, *map(self.told, _OF_A_CASE))


def find(saved: Iterable[SavedCase], left_out: Sequence[str] = (), failed: Sequence[str] = ()) -> Findings:
    """Everything that a report says of these cases.

    ``left_out`` and ``failed`` are lines on what is not among them. Of several results of a case the newest counts.
    UsageError where no case is left.
    """
    groups: dict[_Circumstances, list[_Read]] = {}
    unused: list[str] = []
    for case in saved:
        try:
            result = _Read(case, case_figures(case))
            groups.setdefault(_circumstances(case), []).append(result)
        except UsageError as error:
            unused.append(f"left out: {error}")
    if not groups:
        raise UsageError(first_of(unused, "; ") or "there is no case to report")
    ordered = sorted(
        groups.items(), key=lambda item: max(each.saved.saved_at for each in item[1]), reverse=True
    )
    first = ordered[0][0]
    apart = [
        f"group {number} does not compare with group 1: they differ in {', '.join(other.differs_from(first))}"
        for number, (other, _) in enumerate(ordered[1:], 2)
    ]
    return Findings(
        tuple(_group(circumstances, results) for circumstances, results in ordered),
        failed=_lines(failed),
        left_out=_lines([*unused, *left_out]),
        apart=_lines(apart),
    )


def series_of(case: CaseFigures) -> Series:
    """The series that a case is a point of."""
    return Series(case.strategy, case.engine)


def _lines(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(text, LONGEST_PATH) for text in texts)


def _circumstances(case: SavedCase) -> _Circumstances:
    try:
        return _Circumstances.of(case.info)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable(case, error) from None


def _group(circumstances: _Circumstances, results: Sequence[_Read]) -> Group:
    newest = _newest(results)
    cases = sorted(_told_apart(newest), key=attrgetter("gpus"))
    return Group(
        heading=circumstances.heading,
        machine=_machine(newest[-1].saved.info),
        cases=tuple(cases),
        gaps=(*_superseded(results, newest), *_gaps(cases)),
    )


def _newest(results: Sequence[_Read]) -> list[_Read]:
    """Of each case the result that was saved last, the cases in the order of their first result."""
    newest: dict[tuple[str, ...], _Read] = {}
    for each in results:
        known = newest.setdefault(each.identity, each)
        if each.saved.saved_at > known.saved.saved_at:
            newest[each.identity] = each
    return list(newest.values())


def _told_apart(results: Sequence[_Read]) -> Iterator[CaseFigures]:
    """Their figures; where one test has several cases, their names say in what they differ."""
    of_test: dict[str, list[_Read]] = {}
    for each in results:
        of_test.setdefault(each.saved.test, []).append(each)
    for each in results:
        others = of_test[each.saved.test]
        ways = [key for key in _OF_A_CASE if len({other.told(key) for other in others}) > 1]
        telling = [key for key in ways if key != "prompts_sha256"] or ways
        said = ", ".join(f"{key} {_value(each.told(key))}" for key in telling)
        yield replace(each.figures, case=f"{each.figures.case} ({said})") if said else each.figures


def _value(told: str) -> str:
    return one_line(told.strip('"'), 16)


def _superseded(results: Sequence[_Read], newest: Sequence[_Read]) -> Iterator[str]:
    """What of the same cases was left out; a session that was saved twice is no second result."""
    counting = {each.identity: each.saved.info["launches"] for each in newest}
    older = sum(each.saved.info["launches"] != counting[each.identity] for each in results)
    if older:
        yield f"{older} older {'result' if older == 1 else 'results'} of the same cases left out: the newest counts"
    sessions = {each.saved.saved_at for each in newest}
    if len(sessions) > 1:
        yield f"the cases were measured in {len(sessions)} sessions, not side by side"


def _gaps(cases: Sequence[CaseFigures]) -> Iterator[str]:
    """What a full matrix of the strategies, engines and device counts that are there would have besides."""
    counts = sorted({case.gpus for case in cases if case.gpus > 1})
    there = {(series_of(case), case.gpus) for case in cases}
    for series in dict.fromkeys(series_of(case) for case in cases):
        absent = [str(gpus) for gpus in counts if (series, gpus) not in there]
        if absent and not _DEGREES.fullmatch(series.strategy):
            yield f"no case: {series} on {', '.join(absent)} devices"
    for engine in dict.fromkeys(case.engine for case in cases):
        if not any(case.gpus == 1 for case in cases if case.engine == engine):
            yield f"no case: {engine} on one device"
    for figure, name in (
        ("efficiency", "efficiency"),
        ("lost", "losses"),
        ("bandwidth_fraction", "share of the limit"),
        ("gpu_utilization", "GPU utilisation"),
        ("peak_memory_bytes", "memory"),
        ("itl_s", "time between tokens"),
    ):
        reasons: dict[str, list[str]] = {}
        for case in cases:
            for missing in case.missing:
                if missing.figure == figure:
                    reasons.setdefault(missing.why, []).append(case.case)
        for why, names in reasons.items():
            of = "any case" if len(names) == len(cases) else ", ".join(names)
            yield f"no {name} of {of}: {why}"


def _machine(info: Mapping[str, Any]) -> str:
    """What the figures were measured with, besides the device that the heading names."""
    told = info["fingerprint"]
    words = [
        f"{told['cores']} cores" if "cores" in told and info.get("device") == "cpu" else None,
        f"driver {told['driver']}" if told.get("driver") else None,
        info.get("backend"),
        f"torch {told['torch']}" if "torch" in told else None,
        f"Python {told['python']}" if "python" in told else None,
    ]
    return one_line(" · ".join(str(word) for word in words if word))


def _repeats(case: CaseFigures, cases: Sequence[CaseFigures]) -> bool:
    """Whether a degenerate case's twin is there: its layout under the strategy that it equals."""
    return case.degenerate is not None and any(
        (other.strategy, other.degenerate) == (case.degenerate, None)
        and (other.engine, other.layout, other.requests) == (case.engine, case.layout, case.requests)
        for other in cases
    )


def _at_count(engine: str, gpus: int, cases: Sequence[CaseFigures]) -> AtCount:
    efficiencies = [case.efficiency for case in cases if case.efficiency is not None]
    return AtCount(
        engine=engine,
        gpus=gpus,
        cases=len(cases),
        measured=len(efficiencies),
        mean_efficiency=fmean(efficiencies) if efficiencies else None,
        fastest=max(cases, key=attrgetter("tokens_per_s")),
        slowest=min(cases, key=attrgetter("tokens_per_s")),
    )


def _rating(figure: Figure, target: float, cases: Sequence[CaseFigures]) -> Rating:
    known = [(case, getattr(case, figure)) for case in cases]
    return Rating(
        figure=figure,
        target=target,
        reached=tuple(case for case, value in known if value is not None and value >= target),
        missed=tuple(case for case, value in known if value is not None and value < target),
        unknown=tuple(case for case, value in known if value is None),
    )
