"""How often the verdicts are wrong, and what they find, where the truth is known: a replay of made-up noise.

`python -m scripts.calibration.synthetic [--suites 10000] [--seed 1] [--output FILE]` draws many thousand suites of
nine cases with normal noise on log time and gives them to the very functions that judge real sessions; beside them
stand pytest-benchmark's `mean:5%` and a Mann-Whitney test on rounds. Exit status 1 if a goal is missed.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import ndtr
from scripts.calibration.wilson import wilson_interval
from tabulate import tabulate

from pytest_gpt_dist.compare.paired import (
    CONFIRMATION_DATA,
    MOST_PAIRS_A_DATUM,
    SCREENING_PAIRS,
    Order,
    Pair,
    PairedCase,
    confirmation_order,
    judge_paired,
    pairs_a_datum,
    screening_order,
    suspect,
)
from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES, is_suspect, judge_stored
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.host.machine import cpu_name
from pytest_gpt_dist.measure.statistics import drift

Floats = NDArray[np.float64]

CASES = 9
PAIR_S = 5.0
"""What a pair of a small case takes; it leaves room for all pairs that noise asks for."""
LAUNCH_NOISE = 0.01
ROUND_NOISE = 0.01
ROUNDS = 20
MANN_WHITNEY_LEVEL = 0.01


@dataclass(frozen=True)
class Rate:
    """How many of ``trials`` were hits, with Wilson's 95% interval, and what was wanted of it."""

    rule: str
    noise: str
    slowdown: str
    counted: str
    hits: int
    trials: int
    rate: float
    low: float
    high: float
    goal: str | None = None
    reached: bool | None = None


def rate(
    rule: str,
    noise: str,
    slowdown: str,
    counted: str,
    hits: Sequence[bool],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Rate:
    """Count hits; a goal is reached if the rate itself keeps to it."""
    count, trials = sum(hits), len(hits)
    share = count / trials
    goal, reached = None, None
    if at_most is not None:
        goal, reached = f"at most {at_most:.0%}", share <= at_most
    if at_least is not None:
        goal, reached = f"at least {at_least:.0%}", share >= at_least
    low, high = wilson_interval(count, trials)
    return Rate(rule, noise, slowdown, counted, count, trials, share, low, high, goal, reached)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of log time: of launches and of sessions, and how far the machine drifts.

    ``drift`` is what launches lose from a case's first launch to the last of its confirmation, evenly.
    ``heavy`` draws launches from Student's t with 3 degrees of freedom, scaled to the same deviation.
    """

    launch: float
    session: float = 0.0
    drift: float = 0.0
    heavy: bool = False

    def launches(self, generator: np.random.Generator, *shape: int) -> Floats:
        """Draw log times of launches."""
        if self.heavy:
            return self.launch / sqrt(3) * generator.standard_t(3, shape)
        return self.launch * generator.standard_normal(shape)

    def __str__(self) -> str:
        parts = [f"launch {self.launch:.0%}"]
        if self.heavy:
            parts[0] += " (t3)"
        if self.session:
            parts.append(f"session {self.session:.0%}")
        if self.drift:
            parts.append(f"drift {self.drift:.0%}")
        return ", ".join(parts)


def paired_suites(
    generator: np.random.Generator, suites: int, noise: Noise, slowdowns: Sequence[float]
) -> Iterator[tuple[Verdict, ...]]:
    """Judge suites whose cases got slower by ``slowdowns``: the verdicts of each suite.

    A session's own level is the same for both sides, and so is not drawn. The drift goes on at its pace where noise
    makes for more pairs.
    """
    order: Order = screening_order() + confirmation_order(MOST_PAIRS_A_DATUM)
    pairs = len(order)
    first_is_after = np.array([first == "after" for first, _ in order])
    shortest = SCREENING_PAIRS + CONFIRMATION_DATA
    position = np.arange(2 * pairs).reshape(pairs, 2) * noise.drift / (2 * shortest - 1)
    before_drift = np.where(first_is_after, position[:, 1], position[:, 0])
    after_drift = np.where(first_is_after, position[:, 0], position[:, 1])
    shift = np.log1p(slowdowns)[:, None]
    for _ in range(suites):
        before = np.exp(noise.launches(generator, CASES, pairs) + before_drift).tolist()
        after = np.exp(noise.launches(generator, CASES, pairs) + after_drift + shift).tolist()
        cases = []
        for index in range(CASES):
            measured = tuple(map(Pair, before[index], after[index]))
            screening, confirmation = measured[:SCREENING_PAIRS], measured[SCREENING_PAIRS:]
            fresh = CONFIRMATION_DATA * pairs_a_datum(screening, PAIR_S) if suspect(screening) else 0
            cases.append(PairedCase(str(index), screening, confirmation[:fresh]))
        yield judge_paired(cases)


def stored_suites(
    generator: np.random.Generator, suites: int, noise: Noise, sessions: int, slowdowns: Sequence[float]
) -> Iterator[tuple[Verdict, ...]]:
    """Judge suites against earlier sessions of one launch a case; each case drifts by itself."""
    for _ in range(suites):
        level = noise.session * generator.standard_normal((sessions + 1, CASES))
        times = np.exp(level + noise.launches(generator, sessions + 1, CASES))
        slowed = 1 + np.asarray(slowdowns)
        now = times[-1] * slowed
        fresh = np.exp(level[-1] + noise.launches(generator, FRESH_LAUNCHES, CASES)) * slowed
        yield tuple(
            _judged(
                case, float(now[case]), fresh[:, case].tolist(), [SessionTimes.of([each]) for each in earlier]
            )
            for case, earlier in enumerate(times[:-1].T.tolist())
        )


def _judged(case: int, now: float, fresh: Sequence[float], earlier: Sequence[SessionTimes]) -> Verdict:
    """Judge a case, with a second look where it asks for one; what differs between sessions, it shares with that."""
    suspect = is_suspect(SessionTimes.of([now]), earlier, cases=CASES)
    return judge_stored(str(case), SessionTimes.of([now], fresh if suspect else ()), earlier, cases=CASES)


def other_gates(
    generator: np.random.Generator, suites: int, noise: Noise, slowdowns: Sequence[float]
) -> dict[str, list[list[bool]]]:
    """Run what people use instead on one launch before and one after: alarms, shape [suites, cases]."""

    def rounds() -> Floats:
        level = noise.launches(generator, suites, CASES) + noise.session * generator.standard_normal(
            (suites, CASES)
        )
        return np.exp(level[..., None] + ROUND_NOISE * generator.standard_normal((suites, CASES, ROUNDS)))

    before, after = rounds(), rounds() * (1 + np.asarray(slowdowns))[:, None]
    ranks = np.concatenate([before, after], axis=-1).argsort(axis=-1).argsort(axis=-1) + 1
    larger = ranks[..., ROUNDS:].sum(axis=-1) - ROUNDS * (ROUNDS + 1) / 2
    score = (larger - ROUNDS**2 / 2 - 0.5) / sqrt(ROUNDS**2 * (2 * ROUNDS + 1) / 12)
    return {
        "pytest-benchmark mean:5%": (after.mean(axis=-1) > 1.05 * before.mean(axis=-1)).tolist(),
        f"Mann-Whitney on {ROUNDS} rounds, p ≤ {MANN_WHITNEY_LEVEL}": (
            ndtr(-score) <= MANN_WHITNEY_LEVEL
        ).tolist(),
    }


def one_slower(effect: float) -> list[float]:
    """Slow one case of the suite, the others being as they were."""
    return [effect] + [0.0] * (CASES - 1)


def alarmed(suites: Iterable[tuple[Verdict, ...]]) -> list[bool]:
    """Whether each suite has a regression."""
    return [any(verdict.fails for verdict in suite) for suite in suites]


def found(suites: Iterable[tuple[Verdict, ...]]) -> list[bool]:
    """Whether the first case of each suite is a regression."""
    return [suite[0].fails for suite in suites]


def paired_rates(generator: np.random.Generator, suites: int) -> Iterator[Rate]:
    """Measure the paired mode: false alarms by suite, detections of the one slower case, and of nine."""
    quiet, drifting, heavy = (
        Noise(LAUNCH_NOISE),
        Noise(LAUNCH_NOISE, drift=0.10),
        Noise(LAUNCH_NOISE, heavy=True),
    )
    for noise in (quiet, Noise(0.02), Noise(0.05), drifting, heavy):
        judged = list(paired_suites(generator, suites, noise, one_slower(0)))
        goal = 0.01 if noise == quiet else None
        yield rate("paired", str(noise), "none", "suites with an alarm", alarmed(judged), at_most=goal)
        confirmed = [verdict.used > SCREENING_PAIRS for suite in judged for verdict in suite]
        yield rate("paired", str(noise), "none", "cases that are confirmed", confirmed)
    for noise, effect, goal in (
        (quiet, 0.02, None),
        (quiet, 0.03, 0.90),
        (quiet, 0.05, 0.99),
        (Noise(0.02), 0.05, None),
        (drifting, 0.03, None),
        (heavy, 0.03, None),
    ):
        hits = found(paired_suites(generator, suites, noise, one_slower(effect)))
        yield rate("paired", str(noise), f"one by {effect:.0%}", "runs that find it", hits, at_least=goal)
    for effect in (0.03, 0.05):
        judged = list(paired_suites(generator, suites // CASES, quiet, [effect] * CASES))
        hits = [verdict.fails for suite in judged for verdict in suite]
        yield rate("paired", str(quiet), f"all by {effect:.0%}", "cases found", hits)


def stored_rates(generator: np.random.Generator, suites: int) -> Iterator[Rate]:
    """Measure the stored mode with few and many earlier sessions, and where they differ more than assumed."""
    drifting = Noise(LAUNCH_NOISE, session=0.02)
    for sessions, noise in (
        (1, drifting),
        (3, drifting),
        (10, drifting),
        (30, drifting),
        (10, Noise(LAUNCH_NOISE, session=0.03)),
        (10, Noise(LAUNCH_NOISE, session=0.04)),
        (1, Noise(LAUNCH_NOISE, session=0.06)),
        (10, Noise(LAUNCH_NOISE, session=0.06)),
        (1, Noise(LAUNCH_NOISE, session=0.10)),
        (10, Noise(LAUNCH_NOISE, session=0.10)),
    ):
        rule = f"stored, {sessions} session{'s' if sessions > 1 else ''}"
        goal = 0.05 if (sessions, noise) == (10, drifting) else None
        alarms = alarmed(stored_suites(generator, suites, noise, sessions, one_slower(0)))
        yield rate(rule, str(noise), "none", "suites with an alarm", alarms, at_most=goal)
    for noise in (Noise(LAUNCH_NOISE), drifting):
        for effect in (0.03, 0.05, 0.10):
            hits = found(stored_suites(generator, suites, noise, 10, one_slower(effect)))
            yield rate("stored, 10 sessions", str(noise), f"one by {effect:.0%}", "runs that find it", hits)


def other_rates(generator: np.random.Generator, suites: int) -> Iterator[Rate]:
    """Measure the gates that people use instead, in one session and against a session of another day."""
    for noise in (Noise(LAUNCH_NOISE), Noise(LAUNCH_NOISE, session=0.02)):
        for effect in (0.0, 0.03, 0.05):
            for rule, alarms in other_gates(generator, suites, noise, one_slower(effect)).items():
                if effect:
                    hits, slowdown, counted = (
                        [suite[0] for suite in alarms],
                        f"one by {effect:.0%}",
                        "runs that find it",
                    )
                else:
                    hits, slowdown, counted = [any(suite) for suite in alarms], "none", "suites with an alarm"
                yield rate(rule, str(noise), slowdown, counted, hits)


def drift_rates(generator: np.random.Generator, launches: int) -> Iterator[Rate]:
    """Measure the trend test of rounds: steady launches, autocorrelated ones, and two real trends."""
    for rounds in (8, 20, 100):
        samples = np.exp(ROUND_NOISE * generator.standard_normal((launches, rounds)))
        marked = [drift(launch) is not None for launch in samples.tolist()]
        yield rate(
            "drift", f"round 1%, {rounds} rounds", "none", "steady launches marked", marked, at_most=0.01
        )
    rounds = 20
    steps = generator.standard_normal((launches, rounds))
    for index in range(1, rounds):
        steps[:, index] = 0.5 * steps[:, index - 1] + sqrt(1 - 0.5**2) * steps[:, index]
    marked = [drift(launch) is not None for launch in np.exp(ROUND_NOISE * steps).tolist()]
    noise = f"round 1%, {rounds} rounds, autocorrelation 0.5"
    yield rate("drift", noise, "none", "steady launches marked", marked)
    time_share = np.linspace(0, 1, rounds)
    for name, trend in (
        ("clocks sinking by 3%", 0.03 * time_share),
        ("warming up by 10%", 0.10 * np.exp(-5 * time_share)),
    ):
        samples = np.exp(ROUND_NOISE * generator.standard_normal((launches, rounds)) + trend)
        marked = [drift(launch) is not None for launch in samples.tolist()]
        yield rate("drift", f"round 1%, {rounds} rounds", name, "launches marked", marked)


def main() -> int:
    """Run the replay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suites", type=int, default=10_000, help="suites of each row (default 10000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    start_s = time.perf_counter()
    streams = np.random.default_rng(arguments.seed).spawn(4)
    measurements = (paired_rates, stored_rates, other_rates, drift_rates)
    rates = [
        row
        for measure, stream in zip(measurements, streams, strict=True)
        for row in measure(stream, arguments.suites)
    ]
    rows = [
        (
            *(row.rule, row.noise, row.slowdown, row.counted),
            *(f"{row.rate:.2%}", f"{row.low:.2%} to {row.high:.2%}"),
            *(row.goal or "-", {None: "-", True: "yes", False: "NO"}[row.reached]),
        )
        for row in rates
    ]
    headers = ("rule", "noise", "slower", "counted", "rate", "95% interval", "goal", "reached")
    sys.stdout.write(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True) + "\n")
    if arguments.output:
        result = {
            "what": "verdicts on synthetic noise",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"processor": cpu_name(), "python": platform.python_version()}
            | {"numpy": np.__version__, "scipy": scipy.__version__},
            "seed": arguments.seed,
            "suites": arguments.suites,
            "cases": CASES,
            "seconds": round(time.perf_counter() - start_s, 1),
            "rates": [asdict(row) for row in rates],
        }
        arguments.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return int(any(row.reached is False for row in rates))


if __name__ == "__main__":
    sys.exit(main())
