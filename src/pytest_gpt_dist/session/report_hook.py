"""The report of a pytest session, written when the session ends."""

from __future__ import annotations

import json
import os
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, first_line, one_line
from pytest_gpt_dist.report.folder import File, check_writable, require_libraries
from pytest_gpt_dist.results.saved import SavedCase, revision_of
from pytest_gpt_dist.session.items import runs_cases
from pytest_gpt_dist.session.terminal_summary import write_lines

if TYPE_CHECKING:
    from pytest_gpt_dist.session.verdict_gate import Gate

RESULTS = "results.json"
"""The session as pytest-benchmark saves one, in the folder of its report."""


class Reporter:
    """Collects what the cases saved, and writes the report after pytest-benchmark has written its own files.

    ``gate`` gives the verdicts, if there is one. UsageError, which begins with the ``option``, where the report could
    not be written.
    """

    def __init__(self, config: pytest.Config, folder: Path, gate: Gate | None, option: str) -> None:
        require_libraries(option)
        if os.path.isfile(folder):
            raise UsageError(f"{option}: {folder} is a file: give a folder")
        try:
            check_writable(folder)
        except UsageError as error:
            raise UsageError(f"{option}: {error}") from None
        self._config = config
        self._folder = folder
        self._gate = gate
        self._saved: dict[str, dict[str, Any]] = {}
        self._without: dict[str, str] = {}
        self._failed: set[str] = set()
        self._line = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep which tests may have figures, none of which has run yet."""
        self._without = {item.nodeid: "did not run" for item in session.items if runs_cases(item)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was measured, or why nothing was; of a test that is run again, what its last attempt did."""
        if report.when == "setup":
            self._saved.pop(report.nodeid, None)
            self._failed.discard(report.nodeid)
        if hasattr(report, "gpt_dist"):
            self._saved[report.nodeid] = report.gpt_dist
        if report.nodeid not in self._without:
            return
        if report.failed:
            self._failed.add(report.nodeid)
            self._without[report.nodeid] = _why("failed", report)
        elif report.skipped and hasattr(report, "wasxfail"):
            self._without[report.nodeid] = _why("failed as expected", report)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
            self._without[report.nodeid] = reason
        elif report.when == "call":
            self._without[report.nodeid] = "ran no case"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report; one that cannot be written fails a session whose tests passed."""
        if not self._without or session.config.option.collectonly:
            return
        if not self._saved:
            self._line = "nothing was measured, so nothing was written"
            return
        try:
            # What a library of charts deprecates must not end a session in which warnings are errors.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._line = self._write()
        except Exception as error:  # whatever it is, the table and the verdicts are still to come
            named = "" if isinstance(error, UsageError) else f"not written: {type(error).__name__}: "
            self._line = one_line(f"{named}{first_line(error)}", LONGEST_PATH)
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was written."""
        if self._line:
            write_lines(terminalreporter, f"gpt-dist report: {self._line}")

    def _write(self) -> str:
        from pytest_gpt_dist.report.files import write_report
        from pytest_gpt_dist.report.findings import find

        made_at = datetime.now(UTC)
        results = self._results()
        verdicts = self._gate.judged.verdicts if self._gate is not None else ()
        cases = [
            SavedCase(
                source=RESULTS,
                test=test,
                saved_at=results["datetime"],
                info=info,
                revision=revision_of(results["commit_info"]),
                verdicts=tuple(verdict.as_dict() for verdict in verdicts if verdict.case == test),
                failed=test in self._failed,
            )
            for test, info in self._saved.items()
        ]
        without = [
            (test in self._failed, f"no figures ({why}): {test}")
            for test, why in self._without.items()
            if test not in self._saved
        ]
        findings = find(
            cases,
            left_out=[line for failed, line in without if not failed],
            failed=[line for failed, line in without if failed],
        )
        # What others benchmark may have saved with their cases whatever they like.
        saved = File(RESULTS, json.dumps(results, default=repr, indent=4).encode())
        paths = write_report(findings, self._folder, made_at, [saved])
        return f"{len(paths)} files in {self._folder}, beginning with {self._folder / 'report.html'}"

    def _results(self) -> dict[str, Any]:
        """Return this session as pytest-benchmark saves one, with what plugins add to that."""
        benchmarks: Any = self._config.pluginmanager.get_plugin("pytest-benchmark")
        hook = self._config.hook
        commit_info = hook.pytest_benchmark_generate_commit_info(config=self._config)
        hook.pytest_benchmark_update_commit_info(config=self._config, commit_info=commit_info)
        results: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=self._config,
            benchmarks=benchmarks.benchmarks,
            include_data=True,
            machine_info=benchmarks.get_machine_info(),
            commit_info=commit_info,
        )
        hook.pytest_benchmark_update_json(
            config=self._config, benchmarks=benchmarks.benchmarks, output_json=results
        )
        return results


def _why(what: str, report: pytest.TestReport) -> str:
    """Return what became of a test, and the first line of its error where its report has one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return what if crash is None else one_line(f"{what}: {first_line(crash.message)}")
