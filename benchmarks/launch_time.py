"""How long until a group of ranks is ready: joined in a process group, torch and transformers imported.

`python benchmarks/launch_time.py [--repeats 5] [--ranks 1,2,4] [--output FILE]` compares a cold start (the server's
included), a warm one (the server runs already) and plain `torch.multiprocessing` spawn, interleaved, on gloo.
"""

import argparse
import importlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch.distributed as dist
from tabulate import tabulate
from torch.multiprocessing.spawn import spawn as torch_spawn

from pytest_gpt_dist.cluster import Cluster, ClusterConfig

CONFIG = ClusterConfig("cpu", pin_cpus=False)


def cold(world_size: int) -> float:
    """Return the seconds until a group is ready when there is no server yet."""
    start_s = time.perf_counter()
    with Cluster(CONFIG) as cluster:
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
    importlib.import_module("transformers")
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    ready.wait(300)
    dist.destroy_process_group()


def measure(world_sizes: list[int], repeats: int) -> dict[int, dict[str, list[float]]]:
    """Return seconds by world size and way of starting; the ways take turns, so that drift hits all alike."""
    seconds: dict[int, dict[str, list[float]]] = {}
    with Cluster(CONFIG) as cluster:
        warm(cluster, 1)
        ways: dict[str, Callable[[int], float]] = {
            "warm": lambda world_size: warm(cluster, world_size),
            "cold": cold,
            "spawn": spawn,
        }
        for _ in range(repeats):
            for world_size in world_sizes:
                for name, way in ways.items():
                    seconds.setdefault(world_size, {}).setdefault(name, []).append(way(world_size))
    return seconds


def main() -> None:
    """Measure, print a table, and write the raw samples if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ranks", default="1,2,4", help="world sizes, with commas between")
    parser.add_argument("--output", type=Path, help="file for the samples, as JSON")
    arguments = parser.parse_args()
    world_sizes = [int(count) for count in arguments.ranks.split(",")]
    seconds = measure(world_sizes, arguments.repeats)
    rows = [
        [world_size, name, statistics.median(samples), min(samples), max(samples)]
        for world_size, ways in seconds.items()
        for name, samples in ways.items()
    ]
    print(tabulate(rows, headers=["ranks", "start", "median s", "min s", "max s"], floatfmt=".2f"))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps({"unit": "s", "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
