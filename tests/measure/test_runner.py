"""The core runs, repeats and compares cases of a mode that it knows nothing about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_gpt_dist.cluster import OWN, Cluster, ClusterConfig, RankGroup, Side
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner
from pytest_gpt_dist.parallel import Layout

MACHINE = Machine("cpu", (), None, "gloo", 1, False, Cores((0, 1)))
TIMING = Timing(warmup=0, rounds=3, min_rounds=1, max_time_s=1.0, launches=2)


@dataclass(frozen=True)
class Sorting:
    """A case of a made-up mode: each rank sorts some numbers."""

    layout: Layout
    numbers: tuple[int, ...] = (3, 1, 2)
    engine: str = "sorted"
    dtype: str = "float32"

    @property
    def gpus(self) -> int:
        return self.layout.world_size

    @property
    def workload(self) -> tuple[int, ...]:
        return self.numbers


@dataclass(frozen=True)
class Report:
    found: tuple[int, ...]
    rounds_s: tuple[float, ...]
    timed_span_s: tuple[float, float]


def sort(job: tuple[tuple[int, ...], int]) -> Report:
    numbers, rounds = job
    began_s = time.monotonic()
    return Report(tuple(sorted(numbers)), (0.5,) * rounds, (began_s, time.monotonic()))


@dataclass(frozen=True)
class TimedSorting:
    seconds: float


class SortingMode:
    name = "sorting"
    compared = ("launches",)

    def check(self, case: Sorting, status: Callable[[str], None]) -> tuple[int, ...]:
        return (1, 2, 3)

    def job(
        self, case: Sorting, checked: tuple[int, ...], timing: Timing | None
    ) -> tuple[Callable[[Any], Any], Any]:
        return sort, (case.numbers, timing.rounds if timing else 1)

    def launched(self, case: Sorting, checked: tuple[int, ...], reports: Sequence[Report]) -> Launch:
        if any(report.found != checked for report in reports):
            raise WrongResultError("not sorted")
        rounds = tuple(TimedSorting(max(each)) for each in zip(*(r.rounds_s for r in reports), strict=True))
        return Launch(tuple(reports), rounds, list(reports[0].found), None)

    def result(
        self,
        case: Sorting,
        checked: tuple[int, ...],
        launches: Sequence[Launch],
        *,
        warmup: int,
        limits: Sequence[DeviceLimits],
        keep_series: bool,
    ) -> Result:
        samples = tuple(round.seconds / case.gpus for launch in launches for round in launch.rounds)
        info = {"engine": case.engine, "marks": [], "oversubscribed": False, "shared_gpu": False, "time_lost": {
            "communication": None, "bubble": None, "imbalance": None, "host": None, "other": None,
        }}  # fmt: skip
        return Result(layout=case.layout, extra_info=info, samples=samples)

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        return []

    def gated_figures(self, case: Sorting, launch: Launch) -> Mapping[str, float | None]:
        return {"seconds": launch.rounds[0].seconds}


class Groups:
    """New ranks for each launch."""

    def __init__(self) -> None:
        self.renewed = 0
        self._cluster = Cluster(ClusterConfig(device="cpu"))

    def group(self, world_size: int) -> RankGroup:
        return self._cluster.group(world_size)

    def renew(self, side: Side = OWN) -> None:
        self.renewed += 1

    def close(self) -> None:
        self._cluster.close()


@pytest.fixture(scope="module")
def groups() -> Iterator[Groups]:
    made = Groups()
    yield made
    made.close()


def run(groups: Groups, case: Sorting) -> Result:
    runner = CaseRunner(SortingMode(), groups, MACHINE)
    return runner.run(case, TIMING, lambda: Sorting(Layout(), case.numbers), lambda text: None)


def test_a_case_of_any_mode_is_launched_timed_and_scaled(groups: Groups) -> None:
    before = groups.renewed
    found = run(groups, Sorting(Layout(dp=2)))
    assert found.samples == (0.25,) * 6  # two launches of three rounds
    assert (found.throughput, found.speedup, found.efficiency) == (4.0, 2.0, 1.0)
    assert found.extra_info["reference"] == {
        "engine": "sorted", "gpus": 1, "throughput_per_s": 2.0, "origin": "measured on demand",
    }  # fmt: skip
    assert groups.renewed - before == 4  # each launch, and each of the one-device case, has new processes


def test_a_wrong_result_of_any_mode_has_no_number(groups: Groups) -> None:
    with pytest.raises(WrongResultError, match="not sorted"):
        run(groups, Sorting(Layout(), (4, 5)))
