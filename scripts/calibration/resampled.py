"""False alarms and detections of the stored rule on a machine that swings, by resampling a pool's launches.

`python -m scripts.calibration.resampled POOL [--output FILE] [--draws 2000] [--seed 1]`, in the repository's root,
draws earlier sessions from a pool at random, as days lie between sessions, and a new session with the launches that
followed it in the pool, as those of a second look do. Slowdowns are planted: all times of the new session are
multiplied. The rules are the one that judges sessions, the same without its yardstick, without a second look, that of
before there was either, and those of others (`other_rules.py`), each against the newest of the earlier sessions.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import log1p, sqrt
from pathlib import Path
from statistics import fmean

from scripts.calibration.other_rules import OTHER_RULES, Rule
from scripts.calibration.pool_file import PooledLaunch, read_pool
from scripts.calibration.real import BOUND, session_of
from scripts.calibration.wilson import wilson_interval
from scripts.calibration.windows import evened, mean_log_ratios
from tabulate import tabulate

from pytest_gpt_dist.compare.comparison import LEVEL, PRIOR_DEGREES, PRIOR_SPREAD
from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES, is_suspect, judge_stored
from pytest_gpt_dist.compare.statistics import student_quantile, variance
from pytest_gpt_dist.compare.verdict import MIN_EFFECT
from pytest_gpt_dist.errors import UsageError

EARLIER = (1, 3, 10)
PLANTED = (0.0, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Window:
    """What a session knows of one case: earlier launches, its own, and those of a second look."""

    earlier: tuple[PooledLaunch, ...]
    now: PooledLaunch
    fresh: tuple[PooledLaunch, ...]


@dataclass(frozen=True)
class Rate:
    """How many of the drawn windows alarmed, with Wilson's 95% interval of the windows that the pool holds apart.

    ``low`` and ``high`` are for as many windows as the pool has launches over those of a window: draws that share
    launches are not independent, however many there are.
    """

    rule: str
    earlier: int
    planted: float
    alarms: int
    draws: int
    rate: float
    low: float
    high: float


def judged(window: Window, bound: Mapping[str, float], *, second_look: bool = True) -> bool:
    """Return whether the rule that judges sessions calls the window regressed."""
    earlier = [session_of([launch]) for launch in window.earlier]
    now = session_of([window.now])
    suspect = is_suspect(now, earlier, cases=1, bound=bound)
    if not second_look:
        return suspect and _is_slower(now, earlier)
    if suspect:
        now = replace(now, fresh=session_of(window.fresh))
    return judge_stored("case", now, earlier, cases=1, bound=bound).fails


def before(window: Window) -> bool:
    """Return whether the rule alarms that there was before yardsticks and second looks: an interval around the mean."""
    earlier = [session_of([launch]).datum for launch in window.earlier]
    shift = session_of([window.now]).datum - fmean(earlier)
    count = len(earlier)
    degrees = PRIOR_DEGREES + count - 1
    between = variance(earlier) if count > 1 else 0.0
    shrunk = (PRIOR_DEGREES * PRIOR_SPREAD**2 + (count - 1) * between) / degrees
    limit = student_quantile(1 - LEVEL, degrees) * sqrt(shrunk * (1 + 1 / count))
    return shift > max(limit, log1p(MIN_EFFECT))


def against_newest(rule: Rule) -> Callable[[Window], bool]:
    """Return a rule for two sessions' rounds as one of windows: the new session's against the newest earlier one's."""
    return lambda window: rule(window.earlier[-1].rounds_s, window.now.rounds_s)


RULES: Mapping[str, Callable[[Window], bool]] = {
    "sessions": lambda window: judged(window, BOUND),
    "sessions, without the yardstick": lambda window: judged(window, {}),
    "sessions, without a second look": lambda window: judged(window, BOUND, second_look=False),
    "before": before,
    **{name: against_newest(rule) for name, rule in OTHER_RULES.items()},
}


def draw(launches: Sequence[PooledLaunch], earlier: int, planted: float, generator: random.Random) -> Window:
    """Return a window of a pool, with a slowdown planted in its new session."""
    first = generator.randrange(len(launches) - FRESH_LAUNCHES)
    own = range(first, first + 1 + FRESH_LAUNCHES)
    others = [place for place in range(len(launches)) if place not in own]
    now, *fresh = (slowed(launches[place], planted) for place in own)
    return Window(tuple(launches[place] for place in generator.sample(others, earlier)), now, tuple(fresh))


def slowed(launch: PooledLaunch, by: float) -> PooledLaunch:
    """Return the launch with all of its rounds longer; its yardstick stays."""
    factor = 1 + by
    rounds_s = tuple(round_s * factor for round_s in launch.rounds_s)
    return replace(launch, datum_s=launch.datum_s * factor, rounds_s=rounds_s)


def rates(launches: Sequence[PooledLaunch], draws: int, seed: int) -> list[Rate]:
    """Return the rates of all rules, each on the same windows."""
    found = []
    for earlier in EARLIER:
        apart = max(1, len(launches) // (1 + FRESH_LAUNCHES))
        for planted in PLANTED:
            generator = random.Random(f"{seed} {earlier}")
            windows = [draw(launches, earlier, planted, generator) for _ in range(draws)]
            for rule, alarms in RULES.items():
                hits = sum(map(alarms, windows))
                low, high = wilson_interval(round(hits / draws * apart), apart)
                found.append(Rate(rule, earlier, planted, hits, draws, hits / draws, low, high))
    return found


def table(found: Sequence[Rate]) -> str:
    """Return a row for each rule and number of earlier sessions that it looks at, in Markdown."""
    rows = []
    for rule in RULES:
        for earlier in EARLIER[:1] if rule in OTHER_RULES else EARLIER:
            cells = [rate for rate in found if (rate.rule, rate.earlier) == (rule, earlier)]
            shown = (f"{rate.rate:.1%} ({rate.low:.0%} to {rate.high:.0%})" for rate in cells)
            rows.append((rule, earlier, *shown))
    headers = (
        "rule",
        "earlier sessions",
        *(f"+{planted:.0%}" if planted else "no change" for planted in PLANTED),
    )
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _is_slower(now: SessionTimes, earlier: Sequence[SessionTimes]) -> bool:
    return now.datum > fmean(session.datum for session in earlier)


def main() -> int:
    """Draw and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pool", type=Path, help="the pool's file")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--draws", type=int, default=2000, help="windows of each row (2000)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        pool = read_pool(given.pool)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    engines = sorted({launch.engine for launch in pool.launches})
    alike = evened(
        pool.launches, mean_log_ratios(pool.launches, [name for name in engines if name != "native"])
    )
    found = rates(alike, given.draws, given.seed)
    sys.stdout.write(table(found) + "\n")
    if given.output:
        saved = {
            "what": "alarms of rules for stored sessions, by resampling a pool's launches",
            "pool": given.pool.name,
            "machine": pool.setting.machine,
            "date": datetime.now(UTC).date().isoformat(),
            "launches": len(alike),
            "seed": given.seed,
            "rates": [asdict(rate) for rate in found],
        }
        given.output.write_text(json.dumps(saved, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
