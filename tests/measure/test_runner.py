"""The core runs, repeats and compares cases of a mode that it knows nothing about."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_gpt_dist.cluster import OWN, Cluster, ClusterConfig, RankGroup, Side
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.matrix import MatrixCase
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.results.metrics import OUTCOME, RESOURCES, SCALING, WHAT_RAN, Metric
from pytest_gpt_dist.results.result_format import ResultFormat, Workload, add_format
from pytest_gpt_dist.telemetry.summary import Telemetry

MACHINE = Machine("cpu", (), None, "gloo", 1, False, Cores((0, 1)))
add_format("sorting", "measure.test_runner:SORTING")
TIMING = Timing(warmup=0, rounds=3, min_rounds=1, max_time_s=1.0, launches=2)


@dataclass(frozen=True)
class Sorting:
    """A case of a made-up mode: each rank sorts some numbers."""

    layout: Layout
    numbers: tuple[int, ...] = (3, 1, 2)
    engine: str = "sorted"
    strategy: str = "pure_data_parallel"
    degenerate: str | None = None
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
    peak_memory_bytes: int = 2**20
    engine_configuration: dict[str, str] = field(default_factory=dict)


def sort(job: tuple[tuple[int, ...], int]) -> Report:
    numbers, rounds = job
    began_s = time.monotonic()
    return Report(tuple(sorted(numbers)), (0.5,) * rounds, (began_s, time.monotonic()))


@dataclass(frozen=True)
class TimedSorting:
    seconds: float
    losses: None = None


SORTING = ResultFormat(
    mode="sorting",
    title="Performance of sorting",
    unit="seconds per sorted list",
    works="lists",
    throughput="lists_per_s",
    throughput_per_gpu="lists_per_s_per_gpu",
    time="seconds_per_list",
    metrics=(
        *WHAT_RAN,
        Metric(
            name="lists_per_s", unit="lists/s", kind="figure", better="higher", meaning="sorted by all ranks"
        ),
        Metric(name="lists_per_s_per_gpu", unit="lists/s", kind="figure", meaning="by each"),
        Metric(
            name="longest",
            kind="figure",
            label="longest",
            form="{:.0f}",
            meaning="length of the longest list",
        ),
        *SCALING,
        *RESOURCES,
        *OUTCOME,
    ),
    workload=lambda info: Workload(("lists",), ()),
)


class SortingCases:
    arguments = ("gpus", "numbers")

    def check_options(self, *, collect_only: bool) -> None: ...

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str]) -> list[MatrixCase]:
        return []

    def case(self, arguments: Mapping[str, Any]) -> Sorting:
        return Sorting(Layout(dp=arguments.get("gpus", 1)), arguments.get("numbers", (3, 1, 2)))

    def alone(self, case: Sorting) -> Sorting:
        return Sorting(Layout(), case.numbers)

    def lacks(self, case: Sorting) -> str | None:
        return None

    def fingerprint(self, case: Sorting) -> dict[str, Any]:
        return {"engine": case.engine, "layout": case.layout.id, "numbers": list(case.numbers)}


class SortingMode:
    format = SORTING
    cases = SortingCases()

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

    def samples(self, case: Sorting, launch: Launch) -> list[float]:
        return [round.seconds / case.gpus for round in launch.rounds]

    def figures(
        self,
        case: Sorting,
        checked: tuple[int, ...],
        launches: Sequence[Launch],
        limits: Sequence[DeviceLimits],
        telemetry: Telemetry | None,
    ) -> Mapping[str, object]:
        return {"longest": float(len(case.numbers))}

    def caveats(self, checked: tuple[int, ...]) -> list[str]:
        return []

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        return []

    def result(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> Result:
        return Result(layout=Layout(**info["layout"]), extra_info=info, output=output, samples=samples)


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
        "engine": "sorted", "gpus": 1, "lists_per_s": 2.0, "origin": "measured on demand",
    }  # fmt: skip
    assert groups.renewed - before == 4  # each launch, and each of the one-device case, has new processes


def test_a_wrong_result_of_any_mode_has_no_number(groups: Groups) -> None:
    with pytest.raises(WrongResultError, match="not sorted"):
        run(groups, Sorting(Layout(), (4, 5)))
