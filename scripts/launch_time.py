"""How long until ranks are ready: their processes, and a model on them.

    python -m scripts.launch_time --output scripts/results/launch_time.json
    python -m scripts.launch_time --table scripts/results/launch_time.json

Processes are ready when they are joined in a process group, torch imported: after a cold start (the
server's included), a warm one (the server runs already), and plain ``torch.multiprocessing`` spawn. A launch is ready
when two such ranks, of a server of their own, hold a model with random weights: without and with what earlier launches
kept of them. Ways and layouts take turns, so that drift hits all alike. A file that exists is continued.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import torch.distributed as dist
from scripts.load_on_rank import load
from scripts.machine import describe_machine, moment
from scripts.preset import preset_config
from scripts.results_file import continued, results_parser, write_results
from tabulate import tabulate
from torch.multiprocessing.spawn import spawn as torch_spawn

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.parallel import Layout

GOAL_S = 20.0
RANKS = (1, 2, 4)
LAYOUTS = (Layout(tp=2), Layout(pp=2), Layout(dp=2))
_ANYWHERE = ClusterConfig("cpu", pin_cpus=False)
_PINNED = ClusterConfig("cpu")


@dataclass(frozen=True)
class Setting:
    """Which model is loaded, and how many launches follow the first one of a layout."""

    model: str
    dtype: str
    following: int


@dataclass(frozen=True)
class Start:
    """Seconds until the processes of a group were ready."""

    ranks: int
    how: str
    seconds: float


@dataclass(frozen=True)
class Launches:
    """Seconds until launches of a layout were ready: one that kept nothing, the first that did, and those after it."""

    layout: str
    alone_s: float
    first_s: float
    following_s: tuple[float, ...]


@dataclass(frozen=True)
class Session:
    """Every way of starting processes and the launches of every layout, once."""

    date: str
    load_before: float
    starts: tuple[Start, ...]
    launches: tuple[Launches, ...]


@dataclass(frozen=True)
class Results:
    """What was measured where."""

    setting: Setting
    machine: dict[str, str | int]
    sessions: tuple[Session, ...] = ()


def cold(world_size: int) -> float:
    """Return the seconds until a group is ready when there is no server yet."""
    start_s = time.perf_counter()
    with Cluster(_ANYWHERE) as cluster:
        cluster.group(world_size)
        return time.perf_counter() - start_s


def warm(cluster: Cluster, world_size: int) -> float:
    """Return the seconds until a group is ready on a server that runs."""
    start_s = time.perf_counter()
    group = cluster.group(world_size)
    ready_s = time.perf_counter() - start_s
    group.leave()
    return ready_s


def spawn(world_size: int) -> float:
    """Return the seconds until processes started with torch.multiprocessing are ready."""
    with tempfile.TemporaryDirectory() as folder:
        ready = multiprocessing.get_context("spawn").Barrier(world_size + 1)
        start_s = time.perf_counter()
        context = torch_spawn(  # type: ignore[no-untyped-call]
            _spawned, (world_size, f"file://{folder}/store", ready), nprocs=world_size, join=False
        )
        ready.wait(300)
        ready_s = time.perf_counter() - start_s
        while not context.join(300):
            pass
        return ready_s


def _spawned(rank: int, world_size: int, store: str, ready: Barrier) -> None:
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    ready.wait(300)
    dist.destroy_process_group()


def launch(source: ModelSource, layout: Layout) -> float:
    """Return the seconds until new ranks of a new server hold a model."""
    start_s = time.perf_counter()
    with Cluster(_PINNED) as cluster:
        cluster.group(layout.world_size).run(load, source, layout)
        return time.perf_counter() - start_s


def measure_starts() -> tuple[Start, ...]:
    """Start processes in every way, once."""
    with Cluster(_ANYWHERE) as cluster:
        warm(cluster, 1)
        ways: dict[str, Callable[[int], float]] = {
            "warm": lambda ranks: warm(cluster, ranks),
            "cold": cold,
            "spawn": spawn,
        }
        return tuple(Start(ranks, how, way(ranks)) for ranks in RANKS for how, way in ways.items())


def measure_launches(source: ModelSource, layout: Layout, following: int) -> Launches:
    """Launch a layout on its own, and then several times as a session does that launches it again."""
    alone_s = launch(source, layout)
    with tempfile.TemporaryDirectory() as folder:
        first_s, *following_s = (
            launch(replace(source, weight_cache=folder), layout) for _ in range(1 + following)
        )
    return Launches(layout.id, alone_s, first_s, tuple(following_s))


def measure(source: ModelSource, following: int) -> Session:
    """One session."""
    date, load_before = moment()
    starts = measure_starts()
    return Session(
        date, load_before, starts, tuple(measure_launches(source, layout, following) for layout in LAYOUTS)
    )


def starts_table(results: Results) -> str:
    """Markdown: seconds until processes are ready."""
    seconds: dict[tuple[int, str], list[float]] = {}
    for session in results.sessions:
        for start in session.starts:
            seconds.setdefault((start.ranks, start.how), []).append(start.seconds)
    rows = [(ranks, how, _spread(samples, 2)) for (ranks, how), samples in seconds.items()]
    return tabulate(rows, headers=("ranks", "start", "seconds"), tablefmt="github", disable_numparse=True)


def launches_table(results: Results) -> str:
    """Markdown: seconds until launches are ready."""
    rows = []
    for layout in LAYOUTS:
        found = _launches(results, layout.id)
        rows.append(
            (
                layout.id,
                _spread([each.alone_s for each in found], 1),
                _spread([each.first_s for each in found], 1),
                _spread(_following(found), 1),
            )
        )
    headers = ("layout", "nothing kept", "the first", "those that follow")
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def summary(results: Results) -> str:
    """Return a line for each layout: what following launches save, and whether the goal is reached."""
    lines = []
    for layout in LAYOUTS:
        found = _launches(results, layout.id)
        first_s, following_s = median(each.first_s for each in found), median(_following(found))
        reached = "reached" if max(first_s, following_s) < GOAL_S else "missed"
        lines.append(
            f"{layout.id}: launches that follow take {following_s / first_s:.0%} of the first"
            f" (sessions: {len(found)}); the goal of {GOAL_S:.0f} s is {reached}"
        )
    return "\n".join(lines)


def _launches(results: Results, layout: str) -> list[Launches]:
    return [each for session in results.sessions for each in session.launches if each.layout == layout]


def _following(launches: Sequence[Launches]) -> list[float]:
    return [seconds for each in launches for seconds in each.following_s]


def _spread(seconds: Sequence[float], digits: int) -> str:
    return f"{median(seconds):.{digits}f} ({min(seconds):.{digits}f} to {max(seconds):.{digits}f})"


def read_results(file: Path) -> Results:
    """Return the results in a file; UsageError where it has none."""
    try:
        saved = json.loads(file.read_text())
        sessions = tuple(
            Session(
                date=session["date"],
                load_before=session["load_before"],
                starts=tuple(Start(**start) for start in session["starts"]),
                launches=tuple(
                    Launches(**each | {"following_s": tuple(each["following_s"])})
                    for each in session["launches"]
                ),
            )
            for session in saved["sessions"]
        )
        return Results(Setting(**saved["setting"]), saved["machine"], sessions)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: no results of this script ({error})") from None


def main() -> None:
    """Measure, or print what was measured."""
    parser = results_parser(__doc__)
    parser.add_argument("--sessions", type=int, default=3, help="how many (3)")
    parser.add_argument("--model", default="gpt2-xl", help="a preset (gpt2-xl)")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--following", type=int, default=2, help="launches after the first of a layout (2)")
    given = parser.parse_args()
    try:
        if given.table:
            results = read_results(given.table)
            print(starts_table(results), launches_table(results), summary(results), sep="\n\n")
            return
        if given.output is None:
            parser.error("--output or --table")
        source = ModelSource(preset_config(given.model), None, 0, given.dtype)
        setting = Setting(given.model, given.dtype, given.following)
        results = continued(given.output, Results(setting, describe_machine()), read_results)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    for number in range(len(results.sessions) + 1, given.sessions + 1):
        sys.stderr.write(f"session {number} of {given.sessions}\n")
        results = replace(results, sessions=(*results.sessions, measure(source, setting.following)))
        write_results(given.output, results)
    print(summary(results))


if __name__ == "__main__":
    main()
