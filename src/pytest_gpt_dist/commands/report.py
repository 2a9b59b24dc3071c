"""``gpt-dist report``: charts, tables and a page of saved sessions."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import UTC, datetime

from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.folder import check_writable, require_libraries
from pytest_gpt_dist.results.saved import read_saved
from pytest_gpt_dist.terminal.status_line import StatusLine


def run(given: Namespace) -> int:
    """Write the report and print its files; what could not be used is said on the standard error."""
    require_libraries("gpt-dist report")
    from pytest_gpt_dist.report.files import write_report  # noqa: PLC0415  nothing of it without its libraries

    saved = read_saved(given.files)
    findings = find(saved.cases, saved.skipped)
    check_writable(given.output)
    with StatusLine() as line:
        paths = write_report(
            findings,
            given.output,
            datetime.now(UTC),
            told=lambda drawn, of: line.count(f"gpt-dist report: {drawn} of {of} charts drawn"),
        )
    for path in paths:
        print(path)
    for note in findings.notes:
        print(note, file=sys.stderr)
    return 0
