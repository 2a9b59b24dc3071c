"""Whether launches of one server of ranks resemble each other more than launches of different servers do.

`python -m scripts.calibration.servers --output FILE [--couples 20] [--pairs 6]`, in the repository's root, measures
launches of the pool's case, each in new ranks that are forked from a server which goes on. Were the luck of a
server a part of a launch's time, an A/B whose sides keep their servers would mistake it for a difference of the code.
The same engine takes turns on two servers, as two sides do; a machine's slow changes hit both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import expm1, log, sqrt
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from scipy.stats import f as f_distribution
from scripts.calibration.pool import CASE, REPOSITORY, setting

from pytest_gpt_dist.compare.statistics import variance
from pytest_gpt_dist.measure.statistics import launch_datum
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession


@dataclass(frozen=True)
class Couple:
    """Two servers, and the log ratios of launches of one over those of the other, in turns."""

    log_ratios: tuple[float, ...]


@dataclass(frozen=True)
class Finding:
    """What the couples say.

    Attributes:
        couples: how many, of two servers each.
        pairs: of launches in each couple.
        within: standard deviation of the log ratios of one couple.
        between: that of the couples' means beyond what ``within`` makes of them; 0 where there is no more.
        f: the mean square between over that within couples, with its ``p``.
    """

    couples: int
    pairs: int
    within: float
    between: float
    f: float
    p: float


def find(couples: list[Couple]) -> Finding:
    """Return the analysis of variance (one way, a couple is a group) of the log ratios."""
    count, pairs = len(couples), len(couples[0].log_ratios)
    within = fmean(variance(couple.log_ratios) for couple in couples)
    means = variance([fmean(couple.log_ratios) for couple in couples])
    ratio = pairs * means / within
    p = float(f_distribution.sf(ratio, count - 1, count * (pairs - 1)))
    return Finding(count, pairs, sqrt(within), sqrt(max(0.0, means - within / pairs)), ratio, p)


def measure(couples: int, pairs: int) -> list[Couple]:
    """Measure: two servers for each couple, alive together, whose launches take turns in the order AB BA."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    registry = Registry()
    builtin(registry)
    measured: list[Couple] = []
    for number in range(1, couples + 1):
        measured.append(_couple(registry, pairs))
        sys.stderr.write(
            f"\rcouple {number} of {couples}: {expm1(fmean(measured[-1].log_ratios)):+.1%} \x1b[K"
        )
    sys.stderr.write("\n")
    return measured


def _couple(registry: Registry, pairs: int) -> Couple:
    """Measure launches of two new servers in turns; the first launch of each, which starts it, is for nothing."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second, ExitStack() as stack:
        sides = [BenchmarkSession(CASE, registry, Path(folder), timed=True) for folder in (first, second)]
        for session in sides:
            stack.callback(session.close)

        def launch(side: int) -> float:
            session = sides[side]
            result = session.run(session.asked("inference", {"engine": "native"}), lambda status: None)
            session.renew()
            return log(launch_datum(result.samples))

        for side in (0, 1):
            launch(side)
        ratios = []
        for pair in range(pairs):
            order = (0, 1) if pair % 2 == 0 else (1, 0)
            took = {side: launch(side) for side in order}
            ratios.append(round(took[1] - took[0], 6))
        return Couple(tuple(ratios))


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--couples", type=int, default=20, help="of two servers each (20)")
    parser.add_argument("--pairs", type=int, default=6, help="of launches in each couple (6)")
    parser.add_argument("--output", type=Path, required=True, help="the file of results, JSON")
    given = parser.parse_args()
    couples = measure(given.couples, given.pairs)
    found = find(couples)
    saved = {
        "what": "log ratios of launches of two servers in turns; the same code on both",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(setting(0)),
        "finding": asdict(found),
        "couples": [list(couple.log_ratios) for couple in couples],
    }
    given.output.write_text(json.dumps(saved, indent=1) + "\n")
    print(
        f"{found.couples} couples of {found.pairs} pairs: pairs differ by {expm1(found.within):.1%} within a couple,"
        f" couples by {expm1(found.between):.1%} more; F = {found.f:.2f}, p = {found.p:.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
