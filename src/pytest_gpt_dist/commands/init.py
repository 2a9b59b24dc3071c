"""``gpt-dist init``: benchmarks and a workflow for a repository that has none."""

from __future__ import annotations

import sys
from argparse import Namespace

from pytest_gpt_dist.commands.scaffold import place

_LEFT_ALONE = 1
_ADVICE = "; give an empty folder with --path to see what it would be"


def run(given: Namespace) -> int:
    """Write what is missing; 1 if a file of another content was left alone, else 0."""
    status = 0
    for name, state in place(given.path):
        if state == "different":
            status = _LEFT_ALONE
            print(f"gpt-dist init: {name} is there and differs: left alone{_ADVICE}", file=sys.stderr)
        else:
            print(f"{'wrote' if state == 'missing' else 'is there already:'} {name}")
    return status
