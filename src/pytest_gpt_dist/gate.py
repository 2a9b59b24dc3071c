"""Verdicts in a pytest session: what was measured against what was saved, and the exit status that follows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.compare.baselines import MeasuredCase, judge_session, read_baselines
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.settings import Options

_FILES = "file://"


class Gate:
    """Judges the timed cases of a session against pytest-benchmark's storage; registered for ``--gpt-baseline``.

    Raises UsageError where the storage is not a folder.
    """

    def __init__(self, config: pytest.Config, options: Options) -> None:
        storage = str(config.getoption("benchmark_storage"))
        if "://" in storage and not storage.startswith(_FILES):
            raise UsageError(f"--gpt-baseline reads folders; --benchmark-storage={storage} is none")
        self._config = config
        self._options = options
        self._folder = Path(storage.removeprefix(_FILES))
        self._cases: list[MeasuredCase] = []
        self._min_effects: dict[str, float] = {}
        self._skipped: tuple[str, ...] = ()

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One for each timed case; first asked for before this session is saved, so never against itself."""
        baselines = read_baselines(self._folder)
        self._skipped = baselines.skipped
        verdicts = judge_session(self._cases, baselines.cases, self._min_effects)
        for verdict in verdicts:
            self._config.hook.pytest_gpt_dist_verdict(verdict=verdict)
        return verdicts

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was timed."""
        info = getattr(report, "gpt_dist", None)
        if info is not None and info["tokens_per_s"] is not None:
            self._cases.append(MeasuredCase.of(report.nodeid, info))
            self._min_effects[report.nodeid] = getattr(
                report, "gpt_dist_min_effect", self._options.min_effect
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Save the verdicts; pytest-benchmark may ask twice."""
        output_json["gpt_dist"] = {"verdicts": [verdict.as_dict() for verdict in self.verdicts]}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A regression fails a session whose tests passed."""
        unfit = any(verdict.fails for verdict in self.verdicts) or (
            self._options.require_baseline and any(verdict.kind == "no-baseline" for verdict in self.verdicts)
        )
        if unfit and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdicts after the table of figures."""
        if self.verdicts:
            terminalreporter.section("gpt-dist verdicts", sep="-", blue=True)
            terminalreporter.write_line(render_verdicts(self.verdicts))
        for line in self._skipped:
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """The last line tells a regression from a failed test."""
        if self.verdicts:
            self._config.get_terminal_writer().line(conclusion(self.verdicts, self._options.require_baseline))
