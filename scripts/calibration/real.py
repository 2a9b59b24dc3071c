"""How often the verdicts are wrong, and what they find, on real launches: a pool of them, judged in windows.

`python -m scripts.calibration.real [POOL] [--output FILE]`, in the repository's root, gives disjoint windows of
the pool that `scripts/calibration/pool.py` measured to the functions that judge real sessions, and to the rules of
others (`other_rules.py`). Nothing in it is random. The tables that it prints are those of `docs/verdicts.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import expm1, log, sqrt
from pathlib import Path
from statistics import correlation, fmean, linear_regression, stdev
from typing import Any

from scripts.calibration.other_rules import OTHER_RULES
from scripts.calibration.pool_file import Pool, PooledLaunch, read_pool
from scripts.calibration.schedule import SLOWED
from scripts.calibration.wilson import wilson_interval
from scripts.calibration.windows import (
    ORDER,
    Couple,
    Sessions,
    evened,
    mean_log_ratios,
    natives,
    null_couples,
    null_sessions,
    paired_windows,
    slowed_couples,
    slowed_sessions,
)

from pytest_gpt_dist.compare.measured_case import bound_of, yardstick_of
from pytest_gpt_dist.compare.paired import SCREENING_PAIRS, Pair, PairedCase, judge_paired, suspect
from pytest_gpt_dist.compare.session_times import LaunchTimes, SessionTimes
from pytest_gpt_dist.compare.sessions import is_suspect, judge_stored
from pytest_gpt_dist.compare.statistics import student_quantile
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.statistics import drift

FOLDER = Path(__file__).parent
EARLIER_SESSIONS = 10
SESSION_LAUNCHES = (1, 3)
SUITE = 9
BOUND = bound_of({})
"""One rank communicates nothing."""
NONE = "none"
EVENED = "none (all launches, evened)"
LEAST_LAUNCHES = 2 * len(SLOWED) * len(ORDER)
"""So that each slowed engine has a window of pairs."""
_DIGITS = 6


@dataclass(frozen=True)
class Share:
    """How many windows were hits, with Wilson's 95% interval.

    ``suite`` is the share of suites of nine cases with an alarm, were cases independent, for a gate whose cases
    do not share one error level; None elsewhere.
    """

    rule: str
    slower: str
    counted: str
    hits: int
    windows: int
    rate: float
    low: float
    high: float
    suite: float | None = None


@dataclass(frozen=True)
class Effect:
    """By how much a slowed engine really was slower, from its pairs: the mean with Student's 95% interval.

    ``spread`` is the standard deviation of the pairs' log ratios.
    """

    engine: str
    pairs: int
    effect: float
    low: float
    high: float
    spread: float


@dataclass(frozen=True)
class Noise:
    """What the machine did by itself, seen in the native launches. Spreads are standard deviations of log time.

    ``launch_spread`` is that of launches, ``pair_spread`` of the log ratios of neighbours, ``round_spread`` of
    rounds in a launch. An autocorrelation is that of neighbours; one of launches within ``chance`` of 0 is no
    wonder (95%). ``drift`` is the relative change along a straight line through all ``hours``, ``extremes`` are
    the fastest and the slowest launch relative to the mean.
    """

    launches: int
    hours: float
    launch_spread: float
    pair_spread: float
    round_spread: float
    launch_autocorrelation: float
    chance: float
    round_autocorrelation: float
    drift: float
    extremes: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """What a pool says."""

    noise: Noise
    effects: tuple[Effect, ...]
    shares: tuple[Share, ...]


def evaluate(launches: Sequence[PooledLaunch]) -> Evaluation:
    """Judge all windows of a pool; UsageError if it is too small for one of each kind."""
    if len(launches) < LEAST_LAUNCHES:
        raise UsageError(
            f"a pool of {len(launches)} launches is too small: measure at least {LEAST_LAUNCHES}"
        )
    log_ratios = mean_log_ratios(launches, SLOWED)
    alone, alike = natives(launches), evened(launches, log_ratios)
    titles = {name: f"{name}: {expm1(log_ratios[name]):.1%}" for name in SLOWED}
    truth = {NONE: 0.0, EVENED: 0.0} | {titles[name]: expm1(log_ratios[name]) for name in SLOWED}
    couples = {NONE: null_couples(alone), EVENED: null_couples(alike)} | {
        titles[name]: slowed_couples(launches, name) for name in SLOWED
    }

    paired = {
        slower: [judge_pairs(window) for window in paired_windows(found)] for slower, found in couples.items()
    }
    shares = [*verdict_shares("paired", paired, truth, ("regressed", "unchanged"))]
    for size in SESSION_LAUNCHES:
        sessions = {
            NONE: null_sessions(alone, EARLIER_SESSIONS, size),
            EVENED: null_sessions(alike, EARLIER_SESSIONS, size),
        } | {titles[name]: slowed_sessions(launches, name, EARLIER_SESSIONS, size) for name in SLOWED}
        stored = {slower: [*map(judge_sessions, windows)] for slower, windows in sessions.items()}
        rule = f"stored, {EARLIER_SESSIONS} sessions of {size} launch{'es' if size > 1 else ''}"
        shares += verdict_shares(rule, stored, truth, ("regressed",))
    for slower, found in couples.items():
        shares += other_gates(slower, found, suites=slower in (NONE, EVENED))
    marked = [drift(launch.rounds_s) is not None for launch in launches]
    shares.append(share("drift", "-", "launches marked", marked))
    return Evaluation(
        noise=find_noise(alone),
        effects=tuple(find_effect(name, couples[titles[name]]) for name in SLOWED),
        shares=tuple(shares),
    )


def judge_pairs(window: Sequence[Couple]) -> Verdict:
    """Judge a window as a session of one case: screened with four pairs, confirmed with twelve if suspect."""
    pairs = tuple(Pair(couple.before.datum_s, couple.after.datum_s) for couple in window)
    screening, fresh = pairs[:SCREENING_PAIRS], pairs[SCREENING_PAIRS:]
    (verdict,) = judge_paired([PairedCase("case", screening, fresh if suspect(screening) else ())])
    return verdict


def judge_sessions(window: Sessions) -> Verdict:
    """Judge a window as a session of one case after earlier ones, with a second look where it asks for one."""
    earlier = [session_of(session) for session in window.earlier]
    now = session_of(window.now)
    if is_suspect(now, earlier, cases=1, bound=BOUND):
        now = replace(now, fresh=session_of(window.fresh))
    return judge_stored("case", now, earlier, cases=1, bound=BOUND)


def session_of(launches: Sequence[PooledLaunch]) -> SessionTimes:
    """Return what a session would have kept of launches."""
    return SessionTimes(
        tuple(LaunchTimes.of(launch.rounds_s, yardstick_of(launch.yardstick)) for launch in launches)
    )


def verdict_shares(
    rule: str, judged: Mapping[str, Sequence[Verdict]], truth: Mapping[str, float], kinds: Sequence[str]
) -> Iterator[Share]:
    """Count verdicts by what was true, then how far detectable effects and intervals hold in all windows."""
    for slower, verdicts in judged.items():
        for kind in kinds:
            yield share(rule, slower, kind, [verdict.kind == kind for verdict in verdicts])
    everything = [
        (truth[slower], verdict)
        for slower, verdicts in judged.items()
        if slower != EVENED  # whose launches are those of the others
        for verdict in verdicts
    ]
    detectable = [
        verdict.fails for effect, verdict in everything if verdict.detectable and effect >= verdict.detectable
    ]
    if detectable:
        yield share(rule, "by the detectable effect or more", "regressed", detectable)
    inside = [
        verdict.interval[0] <= effect <= verdict.interval[1]
        for effect, verdict in everything
        if verdict.interval
    ]
    confidence = everything[0][1].confidence or 0.0
    yield share(rule, "all", f"intervals ({confidence:.0%}) that hold the truth", inside)


def other_gates(slower: str, couples: Sequence[Couple], *, suites: bool) -> Iterator[Share]:
    """Run what people use instead, on one launch before and one after."""
    for name, rule in OTHER_RULES.items():
        alarms = [rule(couple.before.rounds_s, couple.after.rounds_s) for couple in couples]
        suite = 1 - (1 - fmean(alarms)) ** SUITE if suites else None
        yield share(name, slower, "alarms", alarms, suite)


def share(rule: str, slower: str, counted: str, hits: Sequence[bool], suite: float | None = None) -> Share:
    """Count hits."""
    low, high = wilson_interval(sum(hits), len(hits))
    return Share(rule, slower, counted, sum(hits), len(hits), fmean(hits), low, high, suite)


def find_effect(engine: str, couples: Sequence[Couple]) -> Effect:
    """Say by how much a slowed engine really was slower."""
    ratios = [couple.log_ratio for couple in couples]
    half = student_quantile(0.975, len(ratios) - 1) * stdev(ratios) / sqrt(len(ratios))
    middle = fmean(ratios)
    return Effect(
        engine, len(ratios), expm1(middle), expm1(middle - half), expm1(middle + half), stdev(ratios)
    )


def find_noise(alone: Sequence[PooledLaunch]) -> Noise:
    """Describe launches that are alike."""
    logs = [log(launch.datum_s) for launch in alone]
    rounds = [[log(round_s) for round_s in launch.rounds_s] for launch in alone]
    hours = [(launch.start_s - alone[0].start_s) / 3600 for launch in alone]
    deviations = [[value - fmean(launch) for value in launch] for launch in rounds]
    return Noise(
        launches=len(alone),
        hours=hours[-1],
        launch_spread=stdev(logs),
        pair_spread=stdev(couple.log_ratio for couple in null_couples(alone)),
        round_spread=sqrt(fmean(stdev(launch) ** 2 for launch in rounds)),
        launch_autocorrelation=correlation(logs[:-1], logs[1:]),
        chance=1.96 / sqrt(len(alone)),
        round_autocorrelation=sum(_lagged(launch) for launch in deviations)
        / sum(value * value for launch in deviations for value in launch),
        drift=expm1(linear_regression(hours, logs).slope * hours[-1]),
        extremes=(expm1(min(logs) - fmean(logs)), expm1(max(logs) - fmean(logs))),
    )


def as_saved(evaluation: Evaluation, pool: Pool) -> dict[str, Any]:
    """Return what is written down, with figures cut to six digits behind the point."""
    return {
        "what": "verdicts on windows of a pool of real launches",
        "pool": {"launches": len(pool.launches), **asdict(pool.setting)}
        | {"sittings": [asdict(sitting) for sitting in pool.sittings]},
        **_rounded(asdict(evaluation)),
    }


def tables(saved: dict[str, Any]) -> str:
    """Return the Markdown of what was saved: noise, true effects, and shares."""
    noise = saved["noise"]
    fastest, slowest = noise["extremes"]
    figures = [
        ("native launches", f"{noise['launches']} in {noise['hours']:.2f} h"),
        ("launches differ by", f"{noise['launch_spread']:.2%}"),
        ("log ratios of neighbouring launches differ by", f"{noise['pair_spread']:.2%}"),
        ("rounds of a launch differ by", f"{noise['round_spread']:.2%}"),
        (
            "autocorrelation of launches",
            f"{noise['launch_autocorrelation']:.2f} (chance: within ±{noise['chance']:.2f})",
        ),
        ("autocorrelation of rounds", f"{noise['round_autocorrelation']:.2f}"),
        ("drift over the pool", f"{noise['drift']:+.2%}"),
        ("fastest and slowest launch", f"{fastest:+.1%}, {slowest:+.1%}"),
    ]
    effects = [
        (
            *(each["engine"], each["pairs"], f"{each['effect']:.2%}"),
            *(f"{each['low']:.2%} to {each['high']:.2%}", f"{each['spread']:.2%}"),
        )
        for each in saved["effects"]
    ]
    shares = [
        (
            *(each["rule"], each["slower"], each["counted"], f"{each['hits']} of {each['windows']}"),
            *(f"{each['rate']:.1%}", f"{each['low']:.1%} to {each['high']:.1%}"),
            "-" if each["suite"] is None else f"{each['suite']:.0%}",
        )
        for each in saved["shares"]
    ]
    return "\n\n".join(
        _markdown(headers, rows)
        for headers, rows in (
            (("noise of the machine", "seen"), figures),
            (("engine", "pairs", "really slower", "95% interval", "log ratios differ by"), effects),
            (("rule", "slower", "counted", "windows", "rate", "95% interval", "9 cases, implied"), shares),
        )
    )


def main() -> int:
    """Evaluate a pool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pool", type=Path, nargs="?", default=FOLDER / "pool.json", help="the pool's file")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    try:
        pool = read_pool(arguments.pool)
        saved = as_saved(evaluate(pool.launches), pool)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    sys.stdout.write(tables(saved) + "\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n")
    return 0


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _lagged(deviations: Sequence[float]) -> float:
    return sum(earlier * later for earlier, later in pairwise(deviations))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
