"""What is printed when the session ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_gpt_dist.errors import LONGEST_PATH, first_line, one_line
from pytest_gpt_dist.terminal.encoding import encodable
from pytest_gpt_dist.terminal.width import output_columns


class Summary:
    """Collects what the cases saved, on the controller under xdist, and prints the table after pytest-benchmark's.

    ``untimed`` is the reason why nothing is timed in this session, or None; ``know_modes`` makes results of all modes
    readable, also where no case of them ran in this process.
    """

    def __init__(self, untimed: str | None, know_modes: Callable[[], object]) -> None:
        self._untimed = untimed
        self._know_modes = know_modes
        self._notes: dict[str, list[str]] = {}
        self._saved: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a case saved; of a test that is run again, what its last attempt did."""
        if report.when == "setup":
            self._notes.pop(report.nodeid, None)
            self._saved.pop(report.nodeid, None)
        if hasattr(report, "gpt_dist_notes"):
            self._notes[report.nodeid] = report.gpt_dist_notes
        if hasattr(report, "gpt_dist"):
            self._saved[report.nodeid] = report.gpt_dist

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int | pytest.ExitCode
    ) -> None:
        """Print the table, and what to do with a session that was interrupted."""
        if not self._saved:
            return
        self._know_modes()
        from pytest_gpt_dist.report.alerts import alert_lines
        from pytest_gpt_dist.report.profiles import profile_lines
        from pytest_gpt_dist.report.table import Row, render

        rows = [Row(_name(nodeid), info) for nodeid, info in self._saved.items()]
        notes = [
            one_line(f"{_name(nodeid)}: {note}", LONGEST_PATH)
            for nodeid, notes in self._notes.items()
            for note in notes
        ]
        terminalreporter.ensure_newline()
        terminalreporter.section("gpt-dist", sep="-", blue=True)
        width = output_columns(bool(terminalreporter.isatty))
        write_lines(terminalreporter, render(rows, width))
        write_lines(terminalreporter, *_closing(self._saved), bold=True)
        write_lines(terminalreporter, *alert_lines([*self._saved.values()]), *notes)
        profiled = {_name(nodeid): info for nodeid, info in self._saved.items()}
        write_lines(terminalreporter, *profile_lines(profiled, width))
        if self._untimed is not None:
            terminalreporter.write_line(
                f"Nothing was timed ({self._untimed}): cases ran once and were checked."
            )
        elif exitstatus == pytest.ExitCode.INTERRUPTED:
            terminalreporter.write_line("What is finished is kept: --gpt-resume measures the rest alone.")


def write_lines(terminalreporter: pytest.TerminalReporter, *texts: str, bold: bool = False) -> None:
    """Write texts line by line, with stand-ins for what the terminal's encoding lacks.

    Of a text of several lines pytest would escape the line breaks, too, and make a table one line.
    """
    file = getattr(
        terminalreporter.config.get_terminal_writer(), "_file", None
    )  # pytest tells of no encoding
    encoding = getattr(file, "encoding", None) or "utf-8"
    for text in texts:
        for line in encodable(text, encoding).split("\n"):
            terminalreporter.write_line(line, bold=bold)


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2]


def _closing(saved: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Return the answer of the session as a report begins with it; nothing where nothing was timed."""
    from pytest_gpt_dist.report.findings import find
    from pytest_gpt_dist.report.overview import closing_lines
    from pytest_gpt_dist.results.result_format import format_of
    from pytest_gpt_dist.results.saved import SavedCase

    timed = [
        SavedCase("this session", test, "", info)
        for test, info in saved.items()
        if format_of(info).is_timed(info)
    ]
    try:
        return closing_lines(find(timed)) if timed else ()
    except Exception as error:  # whatever it is, the table has been shown, and the verdicts are still to come
        return (f"no answer in a line: {type(error).__name__}: {first_line(error)}",)
