"""What looking at the machine costs: rounds of launches that are watched beside launches that are not.

`python -m scripts.telemetry_cost [--pairs 12] [--gpus 2] [--rounds 10] [--output FILE]` runs a case on one group of
live ranks, watched and unwatched in turns (AB BA), and gives the change of seconds per token that watching makes, with
its 95 % interval over the pairs. Leave the machine alone meanwhile.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence, Set
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.machine import describe_machine

from pytest_gpt_dist.compare.paired import Pair, change
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.metrics import seconds_per_token
from pytest_gpt_dist.inference.mode import Checked
from pytest_gpt_dist.measure.arguments import timing_of
from pytest_gpt_dist.measure.runner import CaseRunner, Watching
from pytest_gpt_dist.measure.statistics import launch_datum
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession
from pytest_gpt_dist.telemetry.observation import INTERVAL_S
from pytest_gpt_dist.telemetry.source import MachineSource


def measure(options: Options, gpus: int, pairs: int) -> tuple[list[Pair], float, str]:
    """Pairs of launches, unwatched before and watched after, the median seconds of one look, and the model's name."""
    registry = Registry()
    builtin(registry)
    with TemporaryDirectory() as folder:
        session = BenchmarkSession(options, registry, Path(folder), timed=True)
        mode, machine = session.mode("inference"), session.machine
        runners = [CaseRunner(mode, session, machine, Watching(sampled=sampled)) for sampled in (False, True)]
        try:
            case: Case = mode.cases.case({"strategy": "pure_data_parallel", "gpus": gpus})
            timing = timing_of({}, options)
            checked = mode.check(case, lambda status: None)

            def datum_s(runner: CaseRunner[Case, Checked]) -> float:
                launch = runner.launch(case, timing, checked, lambda status: None)
                return launch_datum(
                    seconds_per_token([each.seconds for each in launch.rounds], case.requests)
                )

            datum_s(runners[1])  # the first launch warms the machine up
            measured = []
            for number in range(pairs):
                order = (0, 1) if number % 2 == 0 else (1, 0)
                by_side = {side: datum_s(runners[side]) for side in order}
                measured.append(Pair(by_side[0], by_side[1]))
                sys.stderr.write(f"\rpair {number + 1} of {pairs}: {measured[-1].log_ratio:+.2%} \x1b[K")
            sys.stderr.write("\n")
            look = look_s(session.group(gpus).pids, machine.gpus[:gpus], machine.cores_of(gpus))
            return measured, look, case.model_name
        finally:
            session.close()


def look_s(pids: Sequence[int], gpus: Sequence[Gpu], cores: Set[int], repeats: int = 50) -> float:
    """Return the median time of one look, in processor seconds of this process."""
    source = MachineSource(pids, gpus, cores)
    seconds = []
    for _ in range(repeats):
        start_s = time.process_time()
        source.read()
        seconds.append(time.process_time() - start_s)
    source.close()
    return statistics.median(seconds)


def main() -> None:
    """Measure, print the figures, and write them with every pair if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12, help="pairs of launches, at least 2 (12)")
    parser.add_argument("--gpus", type=int, default=2, help="ranks (2)")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds a launch (10)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--model", help="preset; the default of the device")
    parser.add_argument("--output", type=Path, help="file for the figures, JSON")
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error("--pairs: an interval needs at least 2")
    options = Options(
        model=arguments.model,
        weights="random",
        offline=True,
        device=arguments.device,
        rounds=arguments.rounds,
    )
    pairs, look_cpu_s, model = measure(options, arguments.gpus, arguments.pairs)
    seen = change(pairs)
    figures = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "model": model,
        "ranks": arguments.gpus,
        "rounds": arguments.rounds,
        "interval_s": INTERVAL_S,
        "look_cpu_s": look_cpu_s,
        "effect": seen.effect,
        "effect_95_interval": seen.interval,
        "pairs": [asdict(pair) for pair in pairs],
    }
    print(
        f"watched: {seen.effect:+.2%} ({seen.interval[0]:+.2%} to {seen.interval[1]:+.2%}) seconds per token;"
        f" one look takes {look_cpu_s * 1e3:.2f} ms of a core, every {INTERVAL_S} s"
    )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
