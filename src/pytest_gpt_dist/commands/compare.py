"""``gpt-dist compare``: verdicts on a saved session against earlier ones."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import replace

from pytest_gpt_dist.compare.baselines import read_baselines, read_cases
from pytest_gpt_dist.compare.session_verdicts import judge_session
from pytest_gpt_dist.compare.sessions import NO_SESSION
from pytest_gpt_dist.compare.welch import describe_launches
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.launches import render_launches
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.results.table import Style
from pytest_gpt_dist.results.text import escape, first_lines
from pytest_gpt_dist.terminal.width import output_columns

_NO_OTHER = "no other saved session has this case"
_ELSEWHERE = "--markdown has them"


def run(given: Namespace) -> int:
    """Print the verdicts; 1 if there is one that shall fail, else 0."""
    style: Style = "markdown" if given.markdown else "text"
    new = read_cases(given.new)
    if not new.cases:
        raise UsageError(_nothing_to_judge(given, new.skipped))
    earlier = read_baselines(given.base, new.cases, current_is_saved=True)
    if earlier.with_current and not earlier.cases and not any(map(os.path.isdir, given.base)):
        raise UsageError(f"{given.new} is no baseline for itself: give a session from before it as BASE")
    for line in first_lines([*new.skipped, *earlier.skipped]):
        print(line, file=sys.stderr)
    verdicts = judge_session(new.cases, earlier.cases, {case.name: given.min_effect for case in new.cases})
    if earlier.with_current:  # as where the folder of all sessions is given
        verdicts = [
            replace(verdict, why=_NO_OTHER) if verdict.why == NO_SESSION else verdict for verdict in verdicts
        ]
    width = output_columns(sys.stdout.isatty())
    parts = [render_verdicts(verdicts, style, width, _ELSEWHERE)]
    if described := describe_launches(new.cases, earlier.cases):
        parts.append(render_launches(described, style, width, _ELSEWHERE))
    last = conclusion(verdicts, required=False)
    print(*parts, escape(last) if given.markdown else last, sep="\n\n")
    return int(any(verdict.kind == given.fail_on for verdict in verdicts))


def _nothing_to_judge(given: Namespace, skipped: tuple[str, ...]) -> str:
    said = f"{given.new} holds no case of pytest-gpt-dist"
    return f"{said} that can be read; {skipped[0]}" if skipped else said
