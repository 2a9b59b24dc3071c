"""Fresh launches of the cases that seem to have changed, when all tests have run and before anything is judged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.compare.judging import TimedCase
from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.measure.result import WrongResultError
from pytest_gpt_dist.measure.runner import prefixed
from pytest_gpt_dist.terminal.live_line import LiveLine

if TYPE_CHECKING:
    from pytest_gpt_dist.session.benchmark_session import BenchmarkSession

_log = logging.getLogger(__name__)


class Suspecting(Protocol):
    """Knows which of the session's cases need a second look."""

    @property
    def cases(self) -> Sequence[TimedCase]:
        """Return the cases that were timed."""
        ...

    @property
    def suspects(self) -> Sequence[str]:
        """Return the names of those that seem to have changed."""
        ...


class SecondLook:
    """Measures suspects again in new processes, in turns, so that their launches are spread over its time.

    What it finds is saved with the case as ``second_look``; a case that fails meanwhile keeps what there is, which is
    too little for a verdict.
    """

    def __init__(
        self, config: pytest.Config, gate: Suspecting, session: Callable[[], BenchmarkSession]
    ) -> None:
        self._config = config
        self._gate = gate
        self._session = session

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Look again when the last test has ended; not where the loop was stopped."""
        result = yield
        if suspects := self._gate.suspects:
            live = LiveLine(self._config)
            try:
                self._look([case for case in self._gate.cases if case.name in suspects], live.show)
            finally:
                live.clear()
        return result

    def _look(self, cases: Sequence[TimedCase], show: Callable[[str], None]) -> None:
        session = self._session()
        open_cases = [case for case in cases if session.has_run(case.name)]
        for number in range(1, FRESH_LAUNCHES + 1):
            for case in list(open_cases):
                told = f"second look {number} of {FRESH_LAUNCHES} at {case.name.rpartition('::')[2]}"
                _log.info("%s", told)
                try:
                    entries = session.look_again(case.name, prefixed(f"{told}: ", show))
                except (UsageError, WrongResultError, RankGroupError) as error:
                    _log.info("%s: second look failed, %s", case.name, first_line(error))
                    open_cases.remove(case)
                    continue
                self._save(case, entries)

    def _save(self, case: TimedCase, entries: dict[str, Any]) -> None:
        """Add to what is saved of the case, in this session's own tables and in pytest-benchmark's file."""
        recorded: Any = self._config.pluginmanager.get_plugin("pytest-benchmark")
        saved = [case.info, *(each.extra_info for each in recorded.benchmarks if each.fullname == case.name)]
        for info in saved:
            info["second_look"] = entries
