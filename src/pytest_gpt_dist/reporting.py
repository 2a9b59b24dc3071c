"""The report of a pytest session, written when the session ends."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.items import runs_cases
from pytest_gpt_dist.report.libraries import require_libraries
from pytest_gpt_dist.report.saved import SavedCase
from pytest_gpt_dist.report.wording import LONGEST_PATH, one_line

if TYPE_CHECKING:
    from pytest_gpt_dist.gate import Gate

_UNSAVED = "this session, which was not saved"
_FAILED = "failed"


class Reporter:
    """Collects what the cases saved, and writes the report after pytest-benchmark has written its files.

    ``gate`` gives the verdicts, if there is one. UsageError where the report could not be written.
    """

    def __init__(self, config: pytest.Config, folder: Path, gate: Gate | None) -> None:
        require_libraries("--gpt-report")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--gpt-report={folder} is a file: give a folder")
        self._config = config
        self._folder = folder
        self._gate = gate
        self._earlier: set[str] = set()
        self._saved: dict[str, dict[str, Any]] = {}
        self._without: dict[str, str] = {}
        self._line = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep which tests may have figures, none of which has run yet, and which files are older."""
        self._earlier = self._stored()
        self._without = {item.nodeid: "did not run" for item in session.items if runs_cases(item)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was measured, or why nothing was."""
        if hasattr(report, "gpt_dist"):
            self._saved[report.nodeid] = report.gpt_dist
        if report.nodeid not in self._without:
            return
        if report.failed:
            self._without[report.nodeid] = _FAILED
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
            terminalreporter.write_line(f"gpt-dist report: {self._line}")

    def _write(self) -> str:
        from pytest_gpt_dist.report.files import write_report
        from pytest_gpt_dist.report.findings import find

        verdicts = self._gate.judged.verdicts if self._gate is not None else ()
        made_at = datetime.now(UTC)
        source = self._source()
        cases = [
            SavedCase(
                source=source,
                test=test,
                saved_at=made_at.isoformat(),
                info=info,
                verdicts=tuple(verdict.as_dict() for verdict in verdicts if verdict.case == test),
                failed=self._without.get(test) == _FAILED,
            )
            for test, info in self._saved.items()
        ]
        without = {test: why for test, why in self._without.items() if test not in self._saved}
        findings = find(
            cases,
            left_out=[f"no figures ({why}): {test}" for test, why in without.items() if why != _FAILED],
            failed=[f"no figures ({why}): {test}" for test, why in without.items() if why == _FAILED],
        )
        paths = write_report(findings, self._folder, made_at)
        return f"{len(paths)} files in {self._folder}, beginning with {self._folder / 'report.html'}"

    def _source(self) -> str:
        """The file in which pytest-benchmark saved this session."""
        benchmarks: Any = self._config.pluginmanager.get_plugin("pytest-benchmark")
        if benchmarks is not None and benchmarks.json:
            return str(benchmarks.json)
        new = sorted(self._stored() - self._earlier)
        return new[-1] if new else _UNSAVED

    def _stored(self) -> set[str]:
        """The files of pytest-benchmark's storage, where it is a folder."""
        benchmarks: Any = self._config.pluginmanager.get_plugin("pytest-benchmark")
        query = getattr(getattr(benchmarks, "storage", None), "query", None)
        return {str(path) for path in query()} if query is not None else set()
