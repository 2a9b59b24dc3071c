"""Which cases are points of one curve. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_gpt_dist.report.figures import CaseFigures


@dataclass(frozen=True)
class Series:
    """Cases that differ in the number of devices: a strategy of an engine, and a variant of it where there are two."""

    strategy: str
    engine: str
    variant: str = ""

    def __str__(self) -> str:
        engine = "" if self.engine == "native" else self.engine
        return " · ".join(filter(None, (self.strategy, engine, self.variant)))


def series_of(case: CaseFigures) -> Series:
    """Return the series that a case is a point of."""
    return Series(case.strategy, case.engine, case.variant)


def with_variants(cases: Sequence[CaseFigures]) -> Iterator[CaseFigures]:
    """Where an engine ran a strategy twice on some number of devices, each of its cases says which it is."""
    ran: dict[Series, list[CaseFigures]] = {}
    for case in cases:
        ran.setdefault(series_of(case), []).append(case)
    for case in cases:
        others = ran[series_of(case)]
        counts = [other.gpus for other in others]
        if len(set(counts)) == len(counts):
            yield case
            continue
        functions = {other.test.partition("[")[0] for other in others}
        names = {function.rpartition("::")[2] for function in functions}
        function, _, rest = (case.test if len(names) < len(functions) else case.case).partition("[")
        words = [function] if len(functions) > 1 else []
        yield replace(case, variant=" ".join(filter(None, (*words, _besides(case, rest)))))


def _besides(case: CaseFigures, rest: str) -> str:
    """Return what stands in the brackets of a test's name, and behind them, besides count, strategy and engine."""
    inside, _, behind = rest.partition("]")
    known = {f"{case.gpus}gpu", case.strategy, case.engine}
    words = [word for word in inside.split("-") if word not in known]
    return " ".join(filter(None, ("-".join(words), behind.strip())))
