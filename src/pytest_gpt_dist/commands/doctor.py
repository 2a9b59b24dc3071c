"""``gpt-dist doctor``: what this machine is ready for."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator

from pytest_gpt_dist.doctor.finding import Finding, any_fault
from pytest_gpt_dist.doctor.gpus import look_at_gpus
from pytest_gpt_dist.doctor.host import look_at_host
from pytest_gpt_dist.doctor.ranks import look_at_ranks


def run(given: Namespace) -> int:
    """Print the findings as they come, or all of them as JSON; 1 if there is a fault, else 0."""
    findings = []
    for finding in _look():
        findings.append(finding)
        if not given.json:
            print(finding, flush=True)
    if given.json:
        print(json.dumps({"findings": [finding.as_dict() for finding in findings]}, indent=1))
    return int(any_fault(findings))


def _look() -> Iterator[Finding]:
    visible, findings = look_at_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    yield from findings
    yield from look_at_host(os.environ, len(visible))
    yield from look_at_ranks(len(visible))
