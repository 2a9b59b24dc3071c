"""``gpt-dist compare``: verdicts on a saved session against earlier ones."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pytest_gpt_dist.compare.baselines import MeasuredCase, judge_session, read_baselines, read_session
from pytest_gpt_dist.compare.newest import describe_launches
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.launches import render_launches
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts


def run(given: Namespace) -> int:
    """Print the verdicts; 1 if there is one that shall fail, else 0."""
    style = "github" if given.markdown else "simple"
    current = read_session(given.new)
    if not current:
        raise UsageError(f"{given.new} holds no case of pytest-gpt-dist")
    # A folder of earlier sessions may hold the one that is judged.
    earlier = [case for case in _read(given.base) if case not in current]
    verdicts = judge_session(current, earlier, {case.name: given.min_effect for case in current})
    parts = [render_verdicts(verdicts, style)]
    if described := describe_launches(current, earlier):
        parts.append(render_launches(described, style))
    print(*parts, conclusion(verdicts, required=False), sep="\n\n")
    return int(any(verdict.kind == given.fail_on for verdict in verdicts))


def _read(base: Sequence[Path]) -> list[MeasuredCase]:
    """The cases of files and folders; what is damaged in a folder is named on the standard error."""
    cases: list[MeasuredCase] = []
    for path in base:
        if path.is_dir():
            found = read_baselines(path)
            cases += [case for case in found.cases if case not in cases]
            for line in found.skipped:
                print(line, file=sys.stderr)
        else:
            cases += [case for case in read_session(path) if case not in cases]
    return cases
