"""What is printed when the session ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_gpt_dist.errors import first_line


class Summary:
    """Collects what the cases saved, on the controller under xdist, and prints the table after pytest-benchmark's.

    ``untimed`` is the reason why nothing is timed in this session, or None.
    """

    def __init__(self, untimed: str | None) -> None:
        self._untimed = untimed
        self._notes: list[str] = []
        self._saved: list[tuple[str, dict[str, Any]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a case saved."""
        if hasattr(report, "gpt_dist_note"):
            self._notes.append(f"{report.nodeid.rpartition('::')[2]}: {report.gpt_dist_note}")
        if hasattr(report, "gpt_dist"):
            self._saved.append((report.nodeid, report.gpt_dist))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int | pytest.ExitCode
    ) -> None:
        """Print the table, and what to do with a session that was interrupted."""
        if not self._saved:
            return
        from pytest_gpt_dist.report.alerts import alert_lines
        from pytest_gpt_dist.report.table import Row, render

        rows = [Row(nodeid.rpartition("::")[2], info) for nodeid, info in self._saved]
        terminalreporter.ensure_newline()
        terminalreporter.section("gpt-dist", sep="-", blue=True)
        terminalreporter.write_line(render(rows))
        for line in _closing(self._saved):
            terminalreporter.write_line(line, bold=True)
        for line in (*alert_lines([info for _, info in self._saved]), *self._notes):
            terminalreporter.write_line(line)
        if self._untimed is not None:
            terminalreporter.write_line(
                f"Nothing was timed ({self._untimed}): cases ran once and were checked."
            )
        elif exitstatus == pytest.ExitCode.INTERRUPTED:
            terminalreporter.write_line("What is finished is kept: --gpt-resume measures the rest alone.")


def _closing(saved: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, ...]:
    """The answer of the session as a report begins with it; nothing where nothing was timed."""
    from pytest_gpt_dist.report.findings import find
    from pytest_gpt_dist.report.overview import closing_lines
    from pytest_gpt_dist.report.saved import SavedCase

    timed = [SavedCase("this session", test, "", info) for test, info in saved if info["tokens_per_s"]]
    try:
        return closing_lines(find(timed)) if timed else ()
    except Exception as error:  # whatever it is, the table has been shown, and the verdicts are still to come
        return (f"no answer in a line: {type(error).__name__}: {first_line(error)}",)
