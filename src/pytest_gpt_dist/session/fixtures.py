"""What the fixtures hand to a test: a runner of cases, and groups of ranks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.config.sections import DEGREES
from pytest_gpt_dist.config.settings import check_argument
from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.measure.result import Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.results.heading import series
from pytest_gpt_dist.results.properties import Properties, properties
from pytest_gpt_dist.session.items import runs_cases
from pytest_gpt_dist.session.session import ARGUMENTS, MATRIX, Bench
from pytest_gpt_dist.session.virtual_clock import VirtualClock
from pytest_gpt_dist.terminal.eta import Standing
from pytest_gpt_dist.terminal.live_line import LiveLine

CLOCK = pytest.StashKey[VirtualClock]()
MIN_EFFECT = pytest.StashKey[float]()
NOTES = pytest.StashKey[list[str]]()
SAVED = pytest.StashKey[dict[str, Any]]()
_PROPERTIES = pytest.StashKey[Properties]()
_SPENT = pytest.StashKey[list[float]]()

_log = logging.getLogger(__name__)


class GptDist:
    """Runs cases for one test; the first is what pytest-benchmark records."""

    def __init__(
        self, item: pytest.Item, benchmark: BenchmarkFixture, bench: Callable[[], Bench], live: LiveLine
    ) -> None:
        self._item = item
        self._benchmark = benchmark
        self._bench = bench
        self._live = live
        self._ran = self._recorded = False
        self._began_s = time.monotonic()
        self._measures = False
        cases = [other for other in item.session.items if other is item or runs_cases(other)]
        self._number, self._total = cases.index(item) + 1, len(cases)
        self._spent_s = item.config.stash.setdefault(_SPENT, [])
        self._forget_earlier_attempt()

    def run(
        self, *, strategy: str | None = None, gpus: int | None = None, **workload: Any
    ) -> GenerationResult:
        """Check one case against its reference, time it, and return the result.

        What is left out comes from the test's ``gpt_dist`` marker, then from its parameters, then from the
        options. ``strategy`` is a name or a layout such as ``dp1pp2tp2``; ``prompts`` a list of texts or of
        lists of token ids, or a file's path. A wrong argument, a wrong result or a lost rank fails the test;
        too few GPUs skip it.
        """
        __tracebackhide__ = True
        if CLOCK not in self._item.stash:
            raise failed(UsageError("gpt_dist is asked for by name: put it among the test's arguments"))
        given = {name: value for name, value in (("strategy", strategy), ("gpus", gpus)) if value is not None}
        try:
            self._show("preparing")
            bench = self._bench()
            arguments = _merge(self._item, given | workload)
            case, timing = bench.case(arguments)
            _log.info(
                "%s: %s on %s, %d requests", self._item.nodeid, case.engine, case.layout, len(case.requests)
            )
            if (lack := bench.lacks(case)) is not None:
                _log.info("%s: skipped, %s", self._item.nodeid, lack)
                pytest.skip(lack)
            result = self._resumed(bench, case, timing) or self._measured(bench, case, timing, arguments)
        except (UsageError, WrongResultError, RankGroupError) as error:
            _log.info("%s: failed, %s", self._item.nodeid, first_line(error))
            raise failed(error) from None
        finally:
            self._live.clear()
        named = {"series": series(self._item.nodeid, result.extra_info)}
        result = replace(result, extra_info=result.extra_info | named)
        _log.info("%s: %s", self._item.nodeid, _outcome(result))
        if not self._ran:
            self._ran = True
            self._record(result)
            if timing is not None and not result.extra_info["resumed"]:
                lost = bench.keep(self._item.nodeid, case, timing, self._min_effect, result)
                if lost is not None:
                    self._note(lost)
        assert isinstance(result, GenerationResult)
        return result

    @property
    def _min_effect(self) -> float | None:
        return self._item.stash.get(MIN_EFFECT, None)

    def _measured(self, bench: Bench, case: Case, timing: Timing | None, given: dict[str, Any]) -> Result:
        """Measured now; what will be saved in pairs with the other side, or in turns with the other engines."""
        self._measures = True
        if timing is None or self._ran:
            return bench.run(case, timing, self._show)
        if bench.against is not None:
            return bench.run_in_pairs(case, timing, self._min_effect, self._show)
        engines = _other_engines(self._item) if case.engine == _engine_of(self._item) else ()
        others = [bench.case(given | {"engine": engine})[0] for engine in engines]
        able = [other for other in others if bench.lacks(other) is None]
        return bench.run_in_block(case, able, timing, self._show)

    def _resumed(self, bench: Bench, case: Case, timing: Timing | None) -> Result | None:
        """The result of a killed session, for the run that is recorded; a line says why it cannot be used."""
        if self._ran or timing is None:
            return None
        found = bench.resume(self._item.nodeid, case, timing, self._min_effect)
        if isinstance(found, str):
            self._note(f"measured again: {found}")
            return None
        return found

    def _note(self, line: str) -> None:
        """Have a line printed below the table."""
        self._item.stash[NOTES] = [*self._item.stash.get(NOTES, []), line]
        _log.info("%s: %s", self._item.nodeid, line)

    def finish(self) -> None:
        """At the end of the test: one that has no number must not be warned of an unused benchmark as well.

        Not earlier, because pytest-benchmark sets ``skipped`` itself when the test's call ends.
        """
        if not self._recorded:
            self._benchmark.skipped = True
        if self._measures:
            self._spent_s.append(time.monotonic() - self._began_s)

    def _forget_earlier_attempt(self) -> None:
        """What is recorded of a test that is run again, as by pytest-rerunfailures, is its last attempt."""
        item = self._item
        stale: Properties = item.stash.get(_PROPERTIES, [])
        item.user_properties[:] = [shown for shown in item.user_properties if shown not in stale]
        left: tuple[pytest.StashKey[Any], ...] = (SAVED, NOTES, MIN_EFFECT, _PROPERTIES)
        for key in left:
            if key in item.stash:
                del item.stash[key]
        session: Any = item.config.pluginmanager.get_plugin("pytest-benchmark")
        recorded = session.benchmarks
        if any(bench.fullname == item.nodeid for bench in recorded):
            recorded[:] = [bench for bench in recorded if bench.fullname != item.nodeid]
            self._bench().forget(item.nodeid)

    def _show(self, text: str) -> None:
        """Say what is done now, after where in the session it is done."""
        _log.debug("%s: %s", self._item.nodeid, text)
        standing = Standing(self._number, self._total, time.monotonic() - self._began_s, self._spent_s)
        self._live.show(" · ".join(filter(None, (standing.describe(), text))))

    def _record(self, result: Result) -> None:
        self._item.stash[SAVED] = result.extra_info
        shown = self._item.stash[_PROPERTIES] = properties(result.extra_info)
        self._item.user_properties.extend(shown)
        if self._benchmark.disabled or not result.samples:
            return
        clock = self._item.stash[CLOCK]
        clock.load(result.samples)
        self._benchmark.extra_info.update(result.extra_info)
        self._benchmark.pedantic(  # type: ignore[no-untyped-call]
            clock.step, setup=clock.rewind, rounds=len(result.samples)
        )
        self._recorded = True


class ProcessGroup:
    """A live group of ranks, for any distributed test."""

    def __init__(self, bench: Callable[[], Bench], world_size: int) -> None:
        self._world_size = world_size
        try:
            device_count(world_size, "a group of ")
            self._bench = bench()
            lack = self._bench.machine.lacks(world_size)
        except UsageError as error:
            raise failed(error) from None
        if lack is not None:
            pytest.skip(lack)

    def run(self, fn: Callable[..., Any], /, *args: Any) -> list[Any]:
        """Run ``fn(*args)`` on every rank, inside an initialised process group; the results by rank.

        ``fn`` is a function at the top of a module. Raises RankGroupError, with every rank's traceback or
        stack, if one raises, dies or is silent for longer than ``--gpt-timeout``.
        """
        __tracebackhide__ = True
        try:
            return self._bench.group(self._world_size).run(fn, *args)
        except UsageError as error:
            raise failed(error) from None
        except RankGroupError as error:
            raise error.with_traceback(None) from None


def failed(error: Exception) -> BaseException:
    """What fails a test with the error's own words, without a traceback."""
    return pytest.fail.Exception(str(error), pytrace=False)


def add_clock(item: pytest.Item) -> None:
    """Make pytest-benchmark read the virtual clock in this test, whatever else its ``benchmark`` markers say."""
    clock = item.stash[CLOCK] = VirtualClock()
    settings: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("benchmark"))):
        settings |= marker.kwargs
    item.add_marker(pytest.mark.benchmark(**(settings | {"timer": clock})), append=False)


def _engine_of(item: pytest.Item) -> str | None:
    """The engine that the item was parametrized with."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("engine")


def _other_engines(item: pytest.Item) -> list[str]:
    """Engines of the items that are to run after this one and differ from it in their engine alone."""
    items = item.session.items
    own = item.callspec.params | {"engine": None}  # type: ignore[attr-defined]
    return [
        engine
        for other in items[items.index(item) + 1 :]
        if (engine := _engine_of(other)) is not None
        and getattr(other, "originalname", None) == getattr(item, "originalname", None)
        and other.parent is item.parent
        and other.callspec.params | {"engine": None} == own  # type: ignore[attr-defined]
    ]


def _outcome(result: Result) -> str:
    if result.throughput is None:
        return "checked, not timed"
    origin = ["taken from the journal"] if result.extra_info["resumed"] else []
    return ", ".join([f"{result.throughput:,.1f} {result.format.rate}", *origin, *result.extra_info["marks"]])


def _merge(item: pytest.Item, given: dict[str, Any]) -> dict[str, Any]:
    marker = item.get_closest_marker("gpt_dist")
    if marker is not None and marker.args:
        raise UsageError(f"marker gpt_dist takes keywords only, such as gpus=4; got {quoted(marker.args)}")
    callspec = getattr(item, "callspec", None)
    parameters = (
        {name: value for name, value in callspec.params.items() if name in ARGUMENTS} if callspec else {}
    )
    # The matrix has said in the test's id which case it is.
    in_matrix = item.get_closest_marker("gpt_dist_matrix") is not None
    chosen = {name: parameters[name] for name in MATRIX if in_matrix and name in parameters}
    merged = parameters | (dict(marker.kwargs) if marker else {}) | chosen | given
    if (min_effect := merged.pop("min_effect", None)) is not None:
        check_argument("min_effect", min_effect)
        item.stash[MIN_EFFECT] = min_effect
    if "strategy" not in given and any(degree in given for degree in DEGREES):
        merged.pop("strategy", None)
    return merged
