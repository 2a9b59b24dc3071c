"""What `pytest benchmarks` costs besides the rounds that it is run for: its wall time ÷ the time inside of them.

    python -m scripts.suite_cost --output scripts/results/suite_cost_cpu.json
    python -m scripts.suite_cost --table scripts/results/suite_cost_cpu.json

The nine cases of the default model, as many sessions as asked for; each takes some two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from xml.etree import ElementTree

from scripts.figures import Figures
from scripts.machine import describe_machine, moment
from scripts.session import run_session
from tabulate import tabulate

DEADLINE_S = 1800.0


@dataclass(frozen=True)
class CaseCost:
    """A case's seconds: all of its test, its timed rounds, and its warm-up, taken to last as long as they did."""

    name: str
    test_s: float
    rounds_s: float
    warmup_s: float

    @property
    def rest_s(self) -> float:
        """Ranks started, weights loaded, the reference computed, the result checked, the limits measured."""
        return self.test_s - self.rounds_s - self.warmup_s


@dataclass(frozen=True)
class SessionCost:
    """A session's seconds from the command to its end, and those of its cases."""

    date: str
    load_before: float
    wall_s: float
    cases: tuple[CaseCost, ...]

    @property
    def rounds_s(self) -> float:
        """Time inside timed rounds."""
        return sum(case.rounds_s for case in self.cases)

    @property
    def warmup_s(self) -> float:
        """Time inside warm-up rounds."""
        return sum(case.warmup_s for case in self.cases)

    @property
    def outside_s(self) -> float:
        """Time in no test: pytest starting and collecting, saving, the last ranks ending."""
        return self.wall_s - sum(case.test_s for case in self.cases)

    @property
    def cost(self) -> float:
        """Wall time ÷ time inside timed rounds."""
        return self.wall_s / self.rounds_s


def case_cost(name: str, test_s: float, figures: Figures) -> CaseCost:
    """Return what a test of ``test_s`` seconds spent in rounds."""
    rounds = [round_s for launch in figures.rounds_s for round_s in launch]
    warmup_s = figures.warmup_rounds * len(figures.rounds_s) * fmean(rounds)
    return CaseCost(name, test_s, sum(rounds), warmup_s)


def table(sessions: Sequence[SessionCost]) -> str:
    """Markdown: where the time of each session's cases went, in seconds, the median of the sessions."""
    rows = [
        (name, *(f"{median(seconds):.1f}" for seconds in zip(*parts, strict=True)))
        for name, parts in _parts(sessions).items()
    ]
    headers = ("", "all", "rounds", "warm-up", "the rest")
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def summary(sessions: Sequence[SessionCost]) -> str:
    """Return the cost in one line."""
    costs = [session.cost for session in sessions]
    return (
        f"wall time ÷ time inside rounds: {median(costs):.2f}, {min(costs):.2f} to {max(costs):.2f}"
        f" (sessions: {len(costs)})"
    )


def _parts(sessions: Sequence[SessionCost]) -> dict[str, list[tuple[float, ...]]]:
    """By row of the table, of each session: all seconds, those of rounds, of warm-up, and the rest."""
    parts: dict[str, list[tuple[float, ...]]] = {}
    for session in sessions:
        for case in session.cases:
            parts.setdefault(case.name, []).append((case.test_s, case.rounds_s, case.warmup_s, case.rest_s))
        parts.setdefault("outside of tests", []).append((session.outside_s, 0, 0, session.outside_s))
    for session in sessions:
        spent = session.rounds_s + session.warmup_s
        parts.setdefault("session", []).append(
            (session.wall_s, session.rounds_s, session.warmup_s, session.wall_s - spent)
        )
    return parts


def measure(arguments: Sequence[str]) -> SessionCost:
    """Run the suite once."""
    date, load = moment()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "junit.xml")
        start_s = time.perf_counter()
        saved = run_session((*arguments, f"--junitxml={file}"), deadline_s=DEADLINE_S)
        wall_s = time.perf_counter() - start_s
        tests_s = {
            case.get("name"): float(case.get("time", 0)) for case in ElementTree.parse(file).iter("testcase")
        }
    cases = tuple(case_cost(name, tests_s[name], Figures.of(info)) for name, info in saved.items())
    return SessionCost(date, load, wall_s, cases)


def read_sessions(path: Path) -> list[SessionCost]:
    """Return what was measured before."""
    return [
        SessionCost(**entry | {"cases": tuple(CaseCost(**case) for case in entry["cases"])})
        for entry in json.loads(path.read_text())["sessions"]
    ]


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file of the results")
    parser.add_argument("--table", type=Path, help="print the table of a file of results")
    parser.add_argument("--sessions", type=int, default=3, help="how many (3)")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    given = parser.parse_args()
    if given.table:
        sessions = read_sessions(given.table)
        print(table(sessions), summary(sessions), sep="\n\n")
        return
    sessions = []
    for number in range(1, given.sessions + 1):
        sys.stderr.write(f"session {number} of {given.sessions}\n")
        sessions.append(measure(given.pytest))
        if given.output is not None:
            results = {
                "machine": describe_machine(),
                "arguments": given.pytest,
                "sessions": [asdict(session) for session in sessions],
            }
            given.output.write_text(json.dumps(results, indent=1) + "\n")
    print(table(sessions), summary(sessions), sep="\n\n")


if __name__ == "__main__":
    main()
