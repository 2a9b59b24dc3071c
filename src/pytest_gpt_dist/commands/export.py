"""``gpt-dist export``: saved cases for trackers of benchmarks."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, one_line
from pytest_gpt_dist.registry import unknown
from pytest_gpt_dist.results.checked import UNREADABLE
from pytest_gpt_dist.results.result_format import format_of, known_formats
from pytest_gpt_dist.results.saved import SavedCase, read_saved, unusable
from pytest_gpt_dist.results.text import first_lines
from pytest_gpt_dist.results.trackers import bencher, github_action_benchmark, newest, series_of

_STANDARD_OUTPUT = Path("-")


def run(given: Namespace) -> int:
    """Write what a tracker reads; what could not be used is said on the standard error."""
    if given.figure is not None and given.format == "bencher":
        raise UsageError("--figure has no effect with --format bencher, which takes all figures at once")
    tracked = {name for form in known_formats() for name in form.tracked}
    if given.figure is not None and given.figure not in tracked:
        raise unknown("figure", given.figure, tracked)
    saved = read_saved(given.files)
    notes = list(saved.skipped)
    named: list[tuple[str, SavedCase]] = []
    made: dict[str, Any] = {}
    for case in saved.cases:
        try:
            if format_of(case.info).is_timed(case.info):  # else it was checked, and not timed
                named.append((series_of(case), case))
        except UNREADABLE as error:
            notes.append(f"skipped: {unusable(case, error)}")
    cases = newest(named)
    if older := len(named) - len(cases):
        notes.append(f"of several results of a series the newest counts: {older:,} left out")
    for name, case in cases.items():
        try:
            entry = _entry(name, case.info, given)
        except UNREADABLE as error:
            notes.append(f"skipped: {unusable(case, error)}")
        else:
            if entry is not None:
                made[name] = entry
    for note in first_lines(notes):
        print(note, file=sys.stderr)
    if not made:
        raise UsageError("no case that can be exported has this figure")
    _write(given.output, made if given.format == "bencher" else [*made.values()])
    return 0


def _entry(name: str, info: Mapping[str, Any], given: Namespace) -> dict[str, Any] | None:
    if given.format == "bencher":
        return bencher(info)
    return github_action_benchmark(name, info, given.figure)


def _write(output: Path, content: object) -> None:
    text = json.dumps(content, indent=1, allow_nan=False)
    if output == _STANDARD_OUTPUT:
        print(text)
        return
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{one_line(output, LONGEST_PATH)} cannot be written: {error.strerror}") from None
