"""What a report says, in figures: cases that compare in groups, the best of each, means, spreads and gaps. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from statistics import fmean
from typing import Any

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, one_line
from pytest_gpt_dist.report.figures import CaseFigures, case_figures
from pytest_gpt_dist.report.gaps import gaps
from pytest_gpt_dist.report.missing import Figure
from pytest_gpt_dist.report.names import without_shared
from pytest_gpt_dist.report.series import Series, series_of, with_variants
from pytest_gpt_dist.results.checked import UNREADABLE
from pytest_gpt_dist.results.heading import workload
from pytest_gpt_dist.results.result_format import ResultFormat
from pytest_gpt_dist.results.saved import SavedCase, unusable
from pytest_gpt_dist.results.text import first_of

EFFICIENCY_TARGET = 0.8
"""Share of a linear speed-up that counts as good."""
UTILIZATION_TARGET = 0.9
"""Share of the time in which a GPU should be busy."""

# Entries of the fingerprint that make another case of one test,
_OF_A_CASE = ("engine", "layout")
# and all in which cases of one table differ; the first device's name stands for those of all. Modes have more.
_PER_CASE = {*_OF_A_CASE, "device_names", "engine_version", "interconnect"}


@dataclass(frozen=True)
class AtCount:
    """The strategies of an engine on one number of devices.

    ``mean_efficiency`` is the mean of the ``measured`` of its ``cases`` that have one, None where none has.
    ``repeated`` are those that do not count, because they are another one under a second name.
    """

    engine: str
    gpus: int
    cases: int
    measured: int
    mean_efficiency: float | None
    fastest: CaseFigures
    slowest: CaseFigures
    repeated: tuple[CaseFigures, ...]

    @property
    def spread(self) -> float | None:
        """How many times the slowest's throughput the fastest has; None where none is slower."""
        if self.fastest is self.slowest:
            return None
        return self.fastest.throughput / self.slowest.throughput


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
    """Cases that compare: one workload on one machine, by device count.

    ``apart`` names the earlier group that is most like it, and in what they differ; it is empty for the first group.
    ``shared`` is what the names of all cases have in common, which is left out of them, with … in place of the rest.
    ``gaps`` say what is not there. ``palette`` are the series of all groups of the report: the place of a series there
    gives its look, which is one in the whole report.
    """

    form: ResultFormat
    heading: str
    apart: str
    machine: str
    shared: str
    cases: tuple[CaseFigures, ...]
    gaps: tuple[str, ...]
    palette: tuple[Series, ...] = ()

    @property
    def distinct(self) -> tuple[CaseFigures, ...]:
        """The cases without those that are another one under a second name, which would count twice."""
        return tuple(case for case in self.cases if not _repeats(case, self.cases))

    @property
    def repeated(self) -> tuple[CaseFigures, ...]:
        """Those others."""
        return tuple(case for case in self.cases if _repeats(case, self.cases))

    @property
    def revisions(self) -> tuple[str, ...]:
        """Those of the code that the cases were measured at, as far as they are known."""
        return tuple(dict.fromkeys(case.revision for case in self.cases if case.revision))

    @property
    def series(self) -> tuple[Series, ...]:
        """By engine, and in the order of their first case."""
        engines = list(dict.fromkeys(case.engine for case in self.cases))
        found = dict.fromkeys(series_of(case) for case in self.cases)
        return tuple(sorted(found, key=lambda series: engines.index(series.engine)))

    @property
    def by_count(self) -> tuple[AtCount, ...]:
        """For each engine, and each number of devices that it ran on."""
        there: dict[tuple[str, int], list[CaseFigures]] = {}
        for case in self.distinct:
            there.setdefault((case.engine, case.gpus), []).append(case)
        return tuple(_at_count(cases, self.repeated) for cases in there.values())

    @property
    def largest_loss(self) -> Loss | None:
        """The largest of a case on several devices that share no core; None where none was measured."""
        losses = [
            Loss(case, kind, share)
            for case in self.distinct
            if case.gpus > 1 and case.time_lost is not None and not case.oversubscribed
            for kind, share in case.time_lost.measured.items()
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

    A line each: of the tests that ``failed`` before they were measured, of the cases ``left_out``, and of what was
    ``skipped`` of files and folders.
    """

    groups: tuple[Group, ...]
    failed: tuple[str, ...]
    left_out: tuple[str, ...]
    skipped: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """All of these lines, and how the groups stand apart."""
        apart = (
            f"group {number} does not compare: it differs from {group.apart}"
            for number, group in enumerate(self.groups, 1)
            if group.apart
        )
        return (*self.failed, *self.left_out, *self.skipped, *apart)


@dataclass(frozen=True)
class _Circumstances:
    """What must agree for two cases to stand in one table, as JSON by key."""

    heading: str
    entries: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, info: Mapping[str, Any], form: ResultFormat) -> _Circumstances:
        heading = workload(info)
        entries = {
            key: value for key, value in info["fingerprint"].items() if key not in {*_PER_CASE, *form.varies}
        }
        entries["mode"] = form.mode
        if info["device"] != "cpu":  # whose name is an entry already
            entries["device_name"] = info["device_name"]
        return cls(
            one_line(heading),
            tuple((key, json.dumps(entries[key], sort_keys=True)) for key in sorted(entries)),
        )

    def differs_from(self, other: _Circumstances) -> list[str]:
        """Each entry in which they differ, and its two values."""
        mine, theirs = dict(self.entries), dict(other.entries)
        return [
            f"{key} {_told(mine.get(key))} (not {_told(theirs.get(key))})"
            for key in sorted({*mine, *theirs})
            if mine.get(key) != theirs.get(key)
        ]


@dataclass(frozen=True)
class _Read:
    """A saved case, and the figures read from it."""

    saved: SavedCase
    figures: CaseFigures

    @property
    def varies(self) -> tuple[str, ...]:
        """Entries of the fingerprint that make another case of one test."""
        return (*_OF_A_CASE, *self.figures.form.varies)

    def told(self, key: str) -> str:
        """Return an entry of the fingerprint, as JSON."""
        return json.dumps(self.saved.info["fingerprint"].get(key), sort_keys=True)

    @property
    def identity(self) -> tuple[str, ...]:
        """Agrees for two results of one case, and for no others."""
        return (self.saved.test, *map(self.told, self.varies))


def find(
    saved: Iterable[SavedCase],
    skipped: Sequence[str] = (),
    left_out: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> Findings:
    """Everything that a report says of these cases.

    ``skipped`` are lines on files and folders, ``left_out`` and ``failed`` on tests that have no case here. Of several
    results of a case the newest counts. UsageError where no case is left.
    """
    groups: dict[_Circumstances, list[_Read]] = {}
    unused: list[str] = []
    for case in saved:
        try:
            result = _Read(case, case_figures(case))
            groups.setdefault(_circumstances(case, result.figures.form), []).append(result)
        except UsageError as error:
            unused.append(f"left out: {error}")
    if not groups:
        raise UsageError(first_of(unused, "; ") or "there is no case to report")
    ordered = sorted(
        groups.items(), key=lambda item: max(each.saved.saved_at for each in item[1]), reverse=True
    )
    places = [circumstances for circumstances, _ in ordered]
    found = [
        _group(circumstances, _apart(circumstances, places[:place]), results)
        for place, (circumstances, results) in enumerate(ordered)
    ]
    palette = tuple(dict.fromkeys(series for group in found for series in group.series))
    return Findings(
        tuple(replace(group, palette=palette) for group in found),
        failed=_lines(failed),
        left_out=_lines([*unused, *left_out]),
        skipped=_lines(skipped),
    )


def _lines(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(text, LONGEST_PATH) for text in texts)


def _circumstances(case: SavedCase, form: ResultFormat) -> _Circumstances:
    try:
        return _Circumstances.of(case.info, form)
    except UNREADABLE as error:
        raise unusable(case, error) from None


def _group(circumstances: _Circumstances, apart: str, results: Sequence[_Read]) -> Group:
    newest = _newest(results)
    named = sorted(with_variants(list(_told_apart(newest))), key=attrgetter("gpus"))
    shared, names = without_shared([case.case for case in named])
    cases = [replace(case, case=name) for case, name in zip(named, names, strict=True)]
    revisions = dict.fromkeys(case.revision for case in cases)
    return Group(
        form=newest[0].figures.form,
        heading=circumstances.heading,
        apart=one_line(apart, LONGEST_PATH),
        machine=_machine(newest[-1].saved.info, next(iter(revisions)) if len(revisions) == 1 else ""),
        shared=shared,
        cases=tuple(cases),
        gaps=(*_superseded(results, newest), *gaps(cases)),
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
        ways = [key for key in each.varies if len({other.told(key) for other in others}) > 1]
        telling = [key for key in ways if not key.endswith("_sha256")] or ways
        said = ", ".join(f"{key} {_value(each.told(key))}" for key in telling)
        yield replace(each.figures, case=f"{each.figures.case} ({said})") if said else each.figures


def _value(told: str) -> str:
    return one_line(told.strip('"'), 16)


def _apart(circumstances: _Circumstances, earlier: Sequence[_Circumstances]) -> str:
    """Of the earlier groups the one that is most like this one, and what they differ in; empty for the first."""
    if not earlier:
        return ""
    differences = [circumstances.differs_from(other) for other in earlier]
    place, fewest = min(enumerate(differences), key=lambda found: len(found[1]))
    return f"group {place + 1} in {', '.join(fewest) or 'the workload'}"


def _told(entry: str | None) -> str:
    """Return an entry of the fingerprint in words."""
    return "none" if entry in (None, "null") else one_line(str(entry).strip('"'), 40)


def _superseded(results: Sequence[_Read], newest: Sequence[_Read]) -> Iterator[str]:
    """Yield what of the same cases was left out; a session that was saved twice is no second result."""
    counting = {each.identity: each.saved.info["launches"] for each in newest}
    older = sum(each.saved.info["launches"] != counting[each.identity] for each in results)
    if older:
        yield f"{older} older {'result' if older == 1 else 'results'} of the same cases left out: the newest counts"
    sessions = {each.saved.saved_at for each in newest}
    if len(sessions) > 1:
        yield f"the cases were measured in {len(sessions)} sessions, not side by side"


def _machine(info: Mapping[str, Any], revision: str) -> str:
    """Return what the figures were measured with, besides the device that the heading names."""
    told = info["fingerprint"]
    words = [
        f"{told['cores']} cores" if "cores" in told and info.get("device") == "cpu" else None,
        f"driver {told['driver']}" if told.get("driver") else None,
        info.get("backend"),
        f"torch {told['torch']}" if "torch" in told else None,
        f"Python {told['python']}" if "python" in told else None,
        f"revision {revision}" if revision else None,
    ]
    return one_line(" · ".join(word for word in words if isinstance(word, str) and word))


def _repeats(case: CaseFigures, cases: Sequence[CaseFigures]) -> bool:
    """Whether a degenerate case's twin is there: its layout under the strategy that it equals."""
    return case.degenerate is not None and any(
        (other.strategy, other.degenerate) == (case.degenerate, None)
        and (other.engine, other.layout, other.workload) == (case.engine, case.layout, case.workload)
        for other in cases
    )


def _at_count(cases: Sequence[CaseFigures], repeated: Sequence[CaseFigures]) -> AtCount:
    engine, gpus = cases[0].engine, cases[0].gpus
    efficiencies = [case.efficiency for case in cases if case.efficiency is not None]
    return AtCount(
        engine=engine,
        gpus=gpus,
        cases=len(cases),
        measured=len(efficiencies),
        mean_efficiency=fmean(efficiencies) if efficiencies else None,
        fastest=max(cases, key=attrgetter("throughput")),
        slowest=min(cases, key=attrgetter("throughput")),
        repeated=tuple(case for case in repeated if (case.engine, case.gpus) == (engine, gpus)),
    )


def _rating(figure: Figure, target: float, cases: Sequence[CaseFigures]) -> Rating:
    known = [(case, case.share(figure)) for case in cases]
    return Rating(
        figure=figure,
        target=target,
        reached=tuple(case for case, value in known if value is not None and value >= target),
        missed=tuple(case for case, value in known if value is not None and value < target),
        unknown=tuple(case for case, value in known if value is None),
    )
