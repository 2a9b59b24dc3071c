"""Runs the cases of one test, of any mode, and records the first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.measure.result import Result, WrongResultError
from pytest_gpt_dist.results.heading import series
from pytest_gpt_dist.results.properties import Properties, properties
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession, CaseRun
from pytest_gpt_dist.session.items import arguments_of, engine_of, other_engines, runs_cases
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


class CaseRecorder:
    """Runs cases for one test; the first is what pytest-benchmark records."""

    def __init__(
        self,
        item: pytest.Item,
        benchmark: BenchmarkFixture,
        session: Callable[[], BenchmarkSession],
        live: LiveLine,
    ) -> None:
        self._item = item
        self._benchmark = benchmark
        self._session = session
        self._live = live
        self._ran = self._recorded = False
        self._began_s = time.monotonic()
        self._measures = False
        cases = [other for other in item.session.items if other is item or runs_cases(other)]
        self._number, self._total = cases.index(item) + 1, len(cases)
        self._spent_s = item.config.stash.setdefault(_SPENT, [])
        self._forget_earlier_attempt()

    def measure(self, mode: str, given: Mapping[str, Any]) -> Result:
        """Check one case of a mode, time it, and return the result.

        What is not ``given`` comes from the test's ``gpt_dist`` marker, then from its parameters, then from the
        options. A wrong argument, a wrong result or a lost rank fails the test; too few GPUs skip it.
        """
        __tracebackhide__ = True
        if CLOCK not in self._item.stash:
            raise failed(UsageError("gpt_dist is asked for by name: put it among the test's arguments"))
        try:
            self._show("preparing")
            session = self._session()
            arguments = arguments_of(self._item, given, session.arguments(mode))
            run = session.asked(mode, arguments)
            _log.info("%s: %s", self._item.nodeid, run.case)
            if (lack := session.lacks(run)) is not None:
                _log.info("%s: skipped, %s", self._item.nodeid, lack)
                pytest.skip(lack)
            result = self._resumed(session, run) or self._measured(session, run, arguments)
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
            self._record(result, run)
            if run.timing is not None:
                session.record(self._item.nodeid, run)
            if not result.extra_info["resumed"]:
                self._keep(session, run, result)
        return result

    def finish(self) -> None:
        """End the test: one that has no number must not be warned of an unused benchmark as well.

        Not earlier, because pytest-benchmark sets ``skipped`` itself when the test's call ends.
        """
        if not self._recorded:
            self._benchmark.skipped = True
        if self._measures:
            self._spent_s.append(time.monotonic() - self._began_s)

    def _measured(self, session: BenchmarkSession, run: CaseRun, given: Mapping[str, Any]) -> Result:
        """Measure now; what will be saved in pairs with the other side, or in turns with the other engines."""
        self._measures = True
        if run.timing is None or self._ran:
            return session.run(run, self._show)
        if session.against is not None:
            return session.run_in_pairs(run, self._show)
        engines = other_engines(self._item) if run.case.engine == engine_of(self._item) else ()
        others = [session.asked(run.mode, {**given, "engine": engine}) for engine in engines]
        able = [other for other in others if session.lacks(other) is None]
        return session.run_in_block(run, able, self._show)

    def _resumed(self, session: BenchmarkSession, run: CaseRun) -> Result | None:
        """Return the result of a killed session, for the run that is recorded; a line says why it cannot be used."""
        if self._ran:
            return None
        found = session.resume(self._item.nodeid, run)
        if isinstance(found, str):
            self._note(f"measured again: {found}")
            return None
        return found

    def _keep(self, session: BenchmarkSession, run: CaseRun, result: Result) -> None:
        """Put a result on disk at once; a line says why it is not there."""
        lost = session.keep(self._item.nodeid, run, result)
        if lost is not None:
            self._note(lost)

    def _note(self, line: str) -> None:
        """Have a line printed below the table."""
        self._item.stash[NOTES] = [*self._item.stash.get(NOTES, []), line]
        _log.info("%s: %s", self._item.nodeid, line)

    def _forget_earlier_attempt(self) -> None:
        """Record of a test that is run again, as by pytest-rerunfailures, its last attempt alone."""
        item = self._item
        stale: Properties = item.stash.get(_PROPERTIES, [])
        item.user_properties[:] = [shown for shown in item.user_properties if shown not in stale]
        left: tuple[pytest.StashKey[Any], ...] = (SAVED, NOTES, MIN_EFFECT, _PROPERTIES)
        for key in left:
            if key in item.stash:
                del item.stash[key]
        benchmarks: Any = item.config.pluginmanager.get_plugin("pytest-benchmark")
        recorded = benchmarks.benchmarks
        if any(bench.fullname == item.nodeid for bench in recorded):
            recorded[:] = [bench for bench in recorded if bench.fullname != item.nodeid]
            self._session().forget(item.nodeid)

    def _show(self, text: str) -> None:
        """Say what is done now, after where in the session it is done."""
        _log.debug("%s: %s", self._item.nodeid, text)
        standing = Standing(self._number, self._total, time.monotonic() - self._began_s, self._spent_s)
        self._live.show(" · ".join(filter(None, (standing.describe(), text))))

    def _record(self, result: Result, run: CaseRun) -> None:
        self._item.stash[SAVED] = result.extra_info
        if run.min_effect is not None:
            self._item.stash[MIN_EFFECT] = run.min_effect
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


def failed(error: Exception) -> BaseException:
    """Return what fails a test with the error's own words, without a traceback."""
    return pytest.fail.Exception(str(error), pytrace=False)


def add_clock(item: pytest.Item) -> None:
    """Make pytest-benchmark read the virtual clock in this test, whatever else its ``benchmark`` markers say."""
    clock = item.stash[CLOCK] = VirtualClock()
    settings: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("benchmark"))):
        settings |= marker.kwargs
    item.add_marker(pytest.mark.benchmark(**(settings | {"timer": clock})), append=False)


def _outcome(result: Result) -> str:
    if result.throughput is None:
        return "checked, not timed"
    origin = ["taken from the journal"] if result.extra_info["resumed"] else []
    return ", ".join([f"{result.throughput:,.1f} {result.format.rate}", *origin, *result.extra_info["marks"]])
