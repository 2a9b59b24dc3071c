"""How long `pytest benchmarks` takes now, and how long at an earlier revision: in turns, on one machine.

    python -m scripts.suite_before --revision 1870fb0 --output scripts/results/suite_before_cpu.json
    python -m scripts.suite_before --table scripts/results/suite_before_cpu.json

Each side has a worktree of its own and the same environment; the side that begins a pair changes from pair to pair.
Processor seconds are those of the session and of all that it started. A file that exists is continued.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from scripts.machine import describe_machine, moment
from scripts.results_file import continued, results_parser, write_results
from tabulate import tabulate

from pytest_gpt_dist.errors import UsageError

ROOT = Path(__file__).parents[1]
SIDES = ("before", "after")


@dataclass(frozen=True)
class Setting:
    """The two revisions."""

    before: str
    after: str


@dataclass(frozen=True)
class Suite:
    """One session of a side: when it began, the load by then, and what it took."""

    side: str
    date: str
    load_before: float
    wall_s: float
    processor_s: float


@dataclass(frozen=True)
class Results:
    """All that a file of results holds."""

    setting: Setting
    machine: dict[str, str | int]
    suites: tuple[Suite, ...] = ()


def read_results(file: Path) -> Results:
    """Return the results in a file."""
    told = json.loads(file.read_text())
    return Results(
        Setting(**told["setting"]), told["machine"], tuple(Suite(**suite) for suite in told["suites"])
    )


def ratios(suites: tuple[Suite, ...], figure: str) -> list[float]:
    """Return after ÷ before of each pair, in their order."""
    of_side = {side: [getattr(suite, figure) for suite in suites if suite.side == side] for side in SIDES}
    return [after / before for before, after in zip(*(of_side[side] for side in SIDES), strict=False)]


def table(results: Results) -> str:
    """Return medians of both sides, with the least and the most, and their ratio pair by pair."""
    rows = []
    for figure, name in (("wall_s", "wall"), ("processor_s", "processor")):
        found = [[getattr(each, figure) for each in results.suites if each.side == side] for side in SIDES]
        rows.append([name, *map(_range, found), _range(ratios(results.suites, figure), "{:.2f}")])
    return tabulate(rows, headers=("seconds", "before", "after", "after ÷ before"), tablefmt="github")


def _range(values: list[float], form: str = "{:.1f}") -> str:
    return f"{form} ({form} to {form})".format(median(values), min(values), max(values))


def run_suite(side: str, checkout: Path) -> Suite:
    """Return what a session of a checkout's own matrix takes. UsageError where it fails."""
    date, load = moment()
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    used_s, began_s = _processor_s(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider"]
        command += [f"--benchmark-storage={folder}"]
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise UsageError(f"{side}: pytest benchmarks failed: {done.stdout[-2000:]}")
    return Suite(side, date, load, time.monotonic() - began_s, _processor_s() - used_s)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """Yield a worktree of a revision, which is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "checkout")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(place), revision], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def _revision(name: str) -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure pairs, or print the table of a file."""
    parser = results_parser(__doc__)
    parser.add_argument("--revision", help="the earlier revision")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of sessions (default: 4)")
    given = parser.parse_args()
    if given.table is not None:
        print(table(read_results(given.table)))
        return
    if given.output is None or given.revision is None:
        parser.error("give --revision and --output, or --table")
    setting = Setting(_revision(given.revision), _revision("HEAD"))
    results = continued(given.output, Results(setting, describe_machine()), read_results)
    with checkout_of(setting.before) as before, checkout_of(setting.after) as after:
        places = {"before": before, "after": after}
        for number in range(given.pairs):
            for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                results = replace(results, suites=(*results.suites, run_suite(side, places[side])))
            write_results(given.output, results)
    print(table(results))


if __name__ == "__main__":
    main()
