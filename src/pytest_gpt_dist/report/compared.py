"""What a case was compared with and what came of it, as its session saved that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.compare.ab import Beside, describe_sides
from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results.checked import UNREADABLE, amount, count, entries, maybe, name, number, positive
from pytest_gpt_dist.results.result_format import ResultFormat
from pytest_gpt_dist.results.text import REVISION_DIGITS


@dataclass(frozen=True)
class CaseVerdict:
    """What its session said about a case.

    ``before_s`` and ``after_s`` are seconds of ``metric``, whose ``label`` and ``rate`` are those of a ``JudgedTime``;
    ``effect``, ``interval`` and ``detectable`` are relative changes of time. ``used`` counts what it rests on: pairs of
    launches if ``paired``, else earlier sessions. None is what does not exist, or what an older file does not tell.
    """

    kind: str
    metric: str
    label: str
    rate: str
    before_s: float | None
    after_s: float | None
    effect: float | None
    interval: tuple[float, float] | None
    detectable: float | None
    paired: bool
    used: int | None
    why: str


@dataclass(frozen=True)
class OtherSide:
    """The other side of an A/B: what the option named, in a line, and what else differed where that can be read."""

    name: str
    beside: Beside | None


def read_verdicts(saved: Sequence[Mapping[str, Any]], form: ResultFormat) -> Iterator[CaseVerdict]:
    """Those that can be read; files from before latencies were judged name no metric."""
    for told in saved:
        with suppress(*UNREADABLE):
            interval = told["interval"]
            metric = name(told.get("metric", form.time))
            gate = form.gate(metric)
            of_work = metric == form.time
            yield CaseVerdict(
                kind=name(told["kind"]),
                metric=metric,
                label="" if of_work else metric if gate is None else gate.label,
                rate=form.rate if of_work else "",
                before_s=maybe(positive, told.get("before_s")),
                after_s=maybe(positive, told.get("after_s")),
                effect=maybe(number, told["effect"]),
                interval=None if interval is None else (number(interval[0]), number(interval[1])),
                detectable=maybe(amount, told.get("detectable")),
                paired=told.get("mode") == "paired",
                used=maybe(count, told.get("used") or None),
                why=name(told["why"]),
            )


def read_other_side(test: str, info: Mapping[str, Any]) -> OtherSide | None:
    """None where the session was no A/B."""
    if not info.get("against"):
        return None
    against = entries(info["against"])
    named = one_line(against.get("name") or "another side")
    exactly = str(against.get("revision") or "")[:REVISION_DIGITS]
    return OtherSide(
        named if not exactly or named.startswith(exactly) else one_line(f"{named} (revision {exactly})"),
        _beside(test, info),
    )


def _beside(test: str, info: Mapping[str, Any]) -> Beside | None:
    """None where the other side has no launches, or an entry of them is damaged."""
    with suppress(*UNREADABLE):
        for found in describe_sides([(test, info)]):
            for error in found.error:
                maybe(amount, error)
            return found
    return None
