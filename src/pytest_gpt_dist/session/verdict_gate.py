"""Verdicts in a pytest session: where they are shown and saved, and the exit status that follows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from _pytest.junitxml import xml_key

from pytest_gpt_dist.compare.judging import ByOtherSide, BySavedSessions, Judge, Judged, TimedCase
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.job_summary import append_job_summary, job_summary
from pytest_gpt_dist.report.sides import render_sides
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.results.result_format import format_of, known_formats
from pytest_gpt_dist.session.terminal_summary import write_lines
from pytest_gpt_dist.terminal.width import output_columns

_FILES = "file://"


def make_judge(config: pytest.Config, options: Options) -> Judge:
    """Who judges, by the options. UsageError where pytest-benchmark's storage is not a folder."""
    if options.against is not None:
        known = list(dict.fromkeys(gate.option for form in known_formats() for gate in form.gates))
        if not set(options.gate) <= set(known):
            raise UsageError(
                f"{options.source('gate')} names {', '.join(options.gate)}: expected {', '.join(known)}, or several"
            )
        return ByOtherSide(options.gate)
    needed = "baseline" if options.baseline else "require_baseline"
    storage = str(config.getoption("benchmark_storage"))
    if "://" in storage and not storage.startswith(_FILES):
        raise UsageError(f"{options.source(needed)} reads folders; --benchmark-storage={storage} is none")
    return BySavedSessions(Path(storage.removeprefix(_FILES)))


class Gate:
    """Has the timed cases of a session judged when it ends; registered where a comparison was asked for."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._judge = make_judge(config, options)
        self._cases: dict[str, TimedCase] = {}

    @property
    def cases(self) -> list[TimedCase]:
        """Return the cases that were timed."""
        return [*self._cases.values()]

    @property
    def suspects(self) -> Sequence[str]:
        """Return the names of the cases that need fresh launches before they are judged."""
        return self._judge.suspects(self.cases) if self._cases else ()

    @cached_property
    def judged(self) -> Judged:
        """First asked for before this session is saved, so never judged against itself."""
        judged = self._judge(self.cases)
        for verdict in judged.verdicts:
            self._config.hook.pytest_gpt_dist_verdict(verdict=verdict)
        return judged

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was timed; of a test that is run again, what its last attempt did."""
        if report.when == "setup":
            self._cases.pop(report.nodeid, None)
        info = getattr(report, "gpt_dist", None)
        if info is not None and format_of(info).is_timed(info):
            min_effect = getattr(report, "gpt_dist_min_effect", self._options.min_effect)
            # Of a test that is run again, the last attempt.
            self._cases[report.nodeid] = TimedCase(report.nodeid, info, min_effect)

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Save the verdicts; pytest-benchmark may ask twice."""
        output_json["gpt_dist"] = {"verdicts": [verdict.as_dict() for verdict in self.judged.verdicts]}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session whose tests passed for a regression; JUnit's file, written next, gets the verdicts."""
        verdicts = self.judged.verdicts
        unfit = any(verdict.fails for verdict in verdicts) or (
            self._options.require_baseline and any(verdict.kind == "no-baseline" for verdict in verdicts)
        )
        if unfit and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if (junit := self._config.stash.get(xml_key, None)) is not None:
            for verdict in verdicts:
                junit.add_global_property(f"gpt_dist {verdict.metric} {verdict.case}", verdict.kind)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdicts after the table of figures, and into the summary of a CI job."""
        judged = self.judged
        if not judged.verdicts:
            return
        terminalreporter.section("gpt-dist verdicts", sep="-", blue=True)
        width = output_columns(bool(terminalreporter.isatty))
        write_lines(terminalreporter, render_verdicts(judged.verdicts, width=width))
        if judged.beside:
            sides = render_sides(judged.beside, width=width)
            write_lines(terminalreporter, "\nWhat else was seen of both sides:", sides)
        problem = append_job_summary(os.environ, job_summary(judged, self._options.require_baseline))
        write_lines(terminalreporter, *judged.notes, *([problem] if problem else []))

    def pytest_unconfigure(self) -> None:
        """Print the last line, which tells a regression from a failed test."""
        if self.judged.verdicts:
            line = conclusion(self.judged.verdicts, self._options.require_baseline)
            self._config.get_terminal_writer().line(line)
