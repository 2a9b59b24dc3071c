"""A pool of real launches of one small case on the CPU: the native engine, and the same slowed by real work.

`python -m scripts.calibration.pool --output FILE [--launches 800] [--seed 1] [--resume]`, in the repository's root,
runs the engines in turns, each launch in new processes of a new server, and saves after every one of them.
`scripts/calibration/real.py` judges what came out. Leave the machine alone while it runs. With `--neighbour` another
program works on a core in every second spell of launches, so that the machine swings as shared ones do.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.calibration.pool_file import Pool, PooledLaunch, Setting, Sitting, read_pool, write_pool
from scripts.calibration.schedule import KNOWN, NATIVE, SLOWED, Neighbour, neighbours, schedule

from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.machine import cpu_name
from pytest_gpt_dist.measure.result import WrongResultError
from pytest_gpt_dist.measure.statistics import launch_datum
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession

REPOSITORY = Path(__file__).parents[2]
CASE = Options(
    model="gpt2-mini",
    weights="random",
    dtype="float32",
    offline=True,
    gpus=(1,),
    device="cpu",
    threads_per_rank=1,
    batch_size=4,
    prompt_tokens=128,
    new_tokens=2,
    rounds=9,
    warmup=1,
    timeout=60.0,
)
_SHOWN = (
    "model",
    "dtype",
    "threads_per_rank",
    "batch_size",
    "prompt_tokens",
    "new_tokens",
    "rounds",
    "warmup",
)


def setting(seed: int) -> Setting:
    """Describe the case and this machine."""
    case = {name: value for name, value in asdict(CASE).items() if name in _SHOWN}
    machine = {
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
    return Setting(seed, case, machine)


@contextmanager
def launcher() -> Iterator[Callable[[str], PooledLaunch]]:
    """Give what measures one launch of an engine in new processes.

    The first launch, which also computes the reference that all are checked against, is for nothing.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    registry = Registry()
    builtin(registry)
    for name in KNOWN:
        registry.add_engine(name, f"scripts.calibration.slowed:{name.title()}")
    with TemporaryDirectory() as folder:
        session = BenchmarkSession(CASE, registry, Path(folder), timed=True)

        def launch(engine: str) -> PooledLaunch:
            run = session.asked("inference", {"engine": engine})
            session.renew()
            start_s = time.time()
            result = session.run(run, lambda status: None)
            rounds_s = tuple(float(f"{sample:.7g}") for sample in result.samples)
            yardstick = {
                piece: [float(f"{seconds:.4g}") for seconds in readings]
                for piece, readings in result.extra_info["yardstick"][0].items()
            }
            return PooledLaunch(engine, round(start_s, 2), launch_datum(rounds_s), rounds_s, yardstick)

        try:
            launch(NATIVE)
            yield launch
        finally:
            session.close()


@contextmanager
def neighbour(where: Neighbour) -> Iterator[None]:
    """Have another program work on a core: that of a single rank, which is the first, or the last one."""
    if not where:
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    core = cores[0] if where == "same core" else cores[-1]
    work = f"import os; os.sched_setaffinity(0, [{core}]); data = bytearray(2**24)\nwhile True: data = data[::-1]"
    process = subprocess.Popen([sys.executable, "-c", work])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(
    path: Path,
    pool: Pool,
    engines: tuple[str, ...],
    launch: Callable[[str], PooledLaunch],
    beside: Sequence[Neighbour],
) -> None:
    """Measure what is missing of ``engines``, each ``beside`` its neighbour, and save after every launch."""
    started, load_before, start_s = _now(), _load(), time.monotonic()
    earlier, done = pool.sittings, len(pool.launches)
    for number, engine in enumerate(engines[done:], done + 1):
        with neighbour(beside[number - 1]):
            measured = replace(launch(engine), neighbour=beside[number - 1])
        sitting = Sitting(started, _now(), load_before, _load(), number)
        pool = replace(pool, sittings=(*earlier, sitting), launches=(*pool.launches, measured))
        write_pool(path, pool)
        each_s = (time.monotonic() - start_s) / (number - done)
        sys.stderr.write(
            f"\rlaunch {number} of {len(engines)}: {engine}, {measured.datum_s * 1e3:.3f} ms a token,"
            f" {each_s:.1f} s a launch, {each_s * (len(engines) - number) / 60:.0f} min left \x1b[K"
        )
    sys.stderr.write("\n")


def start(path: Path, wanted: Setting, engines: tuple[str, ...], *, resume: bool) -> Pool:
    """Begin a pool, or take up the one that was interrupted; UsageError where that cannot be."""
    if not resume:
        if path.exists():
            raise UsageError(f"{path}: there is one already; continue it with --resume, or remove it")
        return Pool(wanted)
    pool = read_pool(path)
    if pool.setting != wanted:
        raise UsageError(f"{path}: its case, machine or seed is another; measure a new pool")
    measured = tuple(launch.engine for launch in pool.launches)
    if measured != engines[: len(measured)]:
        raise UsageError(f"{path}: its launches are not the beginning of the {len(engines)} that are wanted")
    return pool


def main() -> int:
    """Measure a pool, or the rest of one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--launches", type=int, default=800, help="how many, of all engines (800)")
    parser.add_argument(
        "--slowed", nargs="+", choices=KNOWN, default=SLOWED, help="engines besides the native one"
    )
    parser.add_argument("--neighbour", action="store_true", help="let another program come and go")
    parser.add_argument("--seed", type=int, default=1, help="of the order (1)")
    parser.add_argument("--output", type=Path, required=True, help="the pool's file, JSON")
    parser.add_argument("--resume", action="store_true", help="continue the pool in that file")
    arguments = parser.parse_args()
    count = arguments.launches
    engines = schedule(-(-count // (2 * len(arguments.slowed))), arguments.seed, arguments.slowed)[:count]
    nobody: Neighbour = ""
    beside = neighbours(count, arguments.seed) if arguments.neighbour else (nobody,) * count
    try:
        pool = start(arguments.output, setting(arguments.seed), engines, resume=arguments.resume)
        with launcher() as launch:
            measure(arguments.output, pool, engines, launch, beside)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    except (WrongResultError, RankGroupError) as error:
        parser.exit(1, f"\n{error}\ncontinue with --resume\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; continue with --resume\n")
    return 0


def _load() -> tuple[float, ...]:
    return tuple(round(load, 2) for load in os.getloadavg())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
