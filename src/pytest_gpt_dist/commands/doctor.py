"""``gpt-dist doctor``: what this machine is ready for."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence

from pytest_gpt_dist.doctor.finding import Finding, any_fault, looked
from pytest_gpt_dist.doctor.gpus import look_at_gpus
from pytest_gpt_dist.doctor.host import look_at_host
from pytest_gpt_dist.doctor.ranks import look_at_ranks
from pytest_gpt_dist.terminal.status_line import StatusLine

_RANKS_NEED = ("system", "ports", "open files", "processes", "disk here", "disk for scratch")


def run(given: Namespace) -> int:
    """Print the findings as they come, or all of them as JSON; 1 if there is a fault, else 0."""
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else None
    findings = []
    with StatusLine() as status:
        for finding in _look(os.environ, status):
            findings.append(finding)
            status.clear()
            if not given.json:
                print(finding.text(width), flush=True)
    if given.json:
        print(json.dumps({"findings": [finding.as_dict() for finding in findings]}, indent=1))
    else:
        print(f"\n{summary(findings)}")
    return int(any_fault(findings))


def summary(findings: Sequence[Finding]) -> str:
    """How many faults and warnings there are; pure."""
    states = [finding.state for finding in findings]
    faults, warnings = states.count("fault"), states.count("warning")
    return f"{faults or 'no'} fault{'s' * (faults != 1)}, {warnings or 'no'} warning{'s' * (warnings != 1)}"


def _look(environment: Mapping[str, str], status: StatusLine) -> Iterator[Finding]:
    visible, findings = look_at_gpus(environment.get("CUDA_VISIBLE_DEVICES"))
    yield from findings
    faults = set()
    for finding in look_at_host(environment, len(visible)):
        yield finding
        faults |= {finding.subject} if finding.state == "fault" else set()
    if missing := [subject for subject in _RANKS_NEED if subject in faults]:
        yield Finding("ranks", "warning", f"not started, because of {missing[0]}", "see there")
        return
    status.say("starting ranks, which imports torch …")
    for finding in looked("ranks", look_at_ranks, len(visible)):
        yield finding
        status.say("ranks add up …")
