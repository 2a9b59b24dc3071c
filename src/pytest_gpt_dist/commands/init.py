"""``gpt-dist init``: benchmarks and a workflow for a repository that has none."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator

from pytest_gpt_dist.commands.scaffold import CONFTEST, WORKFLOW, place_files
from pytest_gpt_dist.installation import origin, requirement

_LEFT_ALONE = 1
_ADVICE = "; give an empty folder with --path to see what it would be"
_HOOK_ADVICE = (
    "; for tables of one workload each, copy the hook pytest_benchmark_group_stats into it from what"
    " --path with an empty folder writes"
)


def run(given: Namespace) -> int:
    """Write what is missing and say what is left to do; 1 if a file of another content was left alone, else 0."""
    status = 0
    place = given.install_from or origin()
    for name, state in place_files(given.path, place or ""):
        if state == "different":
            status = _LEFT_ALONE
            advice = _HOOK_ADVICE if name == CONFTEST else _ADVICE
            print(f"gpt-dist init: {name} is there and differs: left alone{advice}", file=sys.stderr)
        else:
            print(f"{'wrote' if state == 'missing' else 'is there already:'} {name}")
    print("", "Next:", *(f"- {step}" for step in next_steps(place)), sep="\n")
    return status


def next_steps(place: str | None) -> Iterator[str]:
    """Yield what is left to do, where this package comes from that place. Pure."""
    if place is None:
        yield f"{WORKFLOW}: fill in PYTEST_GPT_DIST, where pytest-gpt-dist comes from; until then the job fails"
        yield 'pyproject.toml, what your tests need: "pytest-gpt-dist @ " and that address'
    else:
        if "://" not in place:
            yield (
                f"{WORKFLOW} installs pytest-gpt-dist from {place}: where the runner has no such folder, fill in an"
                " address, such as git+https://…@COMMIT"
            )
        yield f"pyproject.toml, what your tests need: {_wanted(place)}"
    yield 'pyproject.toml, [tool.pytest.ini_options]: addopts = ["--benchmark-autosave", "--benchmark-save-data"]'
    yield ".gitignore: .benchmarks/ and .gpt-dist/"
    yield "try it: pytest benchmarks -k 1gpu"


def _wanted(place: str) -> str:
    """Return the line of a place that everybody has, and in words what stands beside a repository."""
    if place.startswith("."):
        return f"pytest-gpt-dist, which pip installs from {place}"
    return json.dumps(requirement(place), ensure_ascii=False)
