"""A mode that the package knows nothing of: each rank sorts some numbers, which is checked and timed as any case is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.matrix import MatrixCase, matrix
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Reading, Timing
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.chosen_layout import ONE_DEVICE, choose_layout
from pytest_gpt_dist.results.metrics import OUTCOME, RESOURCES, SCALING, WHAT_RAN, Gate, Metric
from pytest_gpt_dist.results.result_format import ResultFormat, Workload
from pytest_gpt_dist.telemetry.summary import Telemetry

LONGEST = Gate(option="longest", key="longest_s", label="longest", statistic="p95")
SORTING = ResultFormat(
    mode="sorting", title="Performance of sorting", unit="seconds per sorted list", works="lists",
    throughput="lists_per_s", throughput_per_gpu="lists_per_s_per_gpu", time="seconds_per_list",
    metrics=(
        *WHAT_RAN,
        Metric(name="lists_per_s", unit="lists/s", kind="figure", better="higher", meaning="sorted by all ranks"),
        Metric(name="lists_per_s_per_gpu", unit="lists/s", kind="figure", better="higher", meaning="by each"),
        Metric(name="numbers", kind="figure", label="numbers", form="{:.0f}", summary=True, meaning="of a list"),
        Metric(name="pause_s", kind="latency", label="pause", scale=1e3, meaning="between two", gate=LONGEST),
        *SCALING, *RESOURCES, *OUTCOME,
    ),
    varies=("numbers",),
    workload=lambda info: Workload((f"lists of {info['numbers']:.0f}",), (("numbers", info["numbers"]),)),
)  # fmt: skip


@dataclass(frozen=True)
class Sorting:
    layout: Layout
    numbers: tuple[int, ...] = (3, 1, 2)
    strategy: str = ONE_DEVICE.strategy
    degenerate: str | None = None
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
    yardstick: tuple[Reading, ...] = ()
    peak_memory_bytes: int | None = None
    engine_configuration: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TimedSorting:
    seconds: float
    overheads: None = None


def sort(job: tuple[tuple[int, ...], int]) -> Report:
    """Sort on every rank; each round is said to take half a second."""
    numbers, rounds = job
    began_s = time.monotonic()
    return Report(tuple(sorted(numbers)), (0.5,) * rounds, (began_s, time.monotonic()))


class SortingCases:
    arguments = ("strategy", "gpus", "engine", "numbers")

    def __init__(self, context: ModeContext) -> None:
        self._context = context

    def check_options(self, *, collect_only: bool) -> None:
        """Nothing of the options is wrong for it."""

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str]) -> Sequence[MatrixCase]:
        return matrix(self._context.options, self._context.registry.strategies, "sorted")

    def case(self, arguments: Mapping[str, Any]) -> Sorting:
        chosen = choose_layout(arguments, self._context.options, self._context.registry)
        return Sorting(chosen.layout, tuple(arguments.get("numbers") or (3, 1, 2)), chosen.strategy)

    def alone(self, case: Sorting) -> Sorting:
        return Sorting(Layout(), case.numbers)

    def lacks(self, case: Sorting) -> str | None:
        return None if len(case.numbers) < 9 else "too many numbers to sort"

    def fingerprint(self, case: Sorting) -> Mapping[str, Any]:
        return {"engine": case.engine, "layout": case.layout.id, "numbers": list(case.numbers)}


class SortingMode:
    format = SORTING
    preload = ()

    def __init__(self, context: ModeContext) -> None:
        self.cases = SortingCases(context)

    def check(self, case: Sorting, status: Callable[[str], None]) -> tuple[int, ...]:
        return tuple(range(1, 1 + len(case.numbers)))  # so other numbers are a wrong result

    def job(self, case: Sorting, checked: tuple[int, ...], timing: Timing | None) -> tuple[str, Any]:
        return f"{__name__}:sort", (case.numbers, (timing.rounds or timing.min_rounds) if timing else 0)

    def launched(self, case: Sorting, checked: tuple[int, ...], reports: Sequence[Report]) -> Launch:
        if any(report.found != checked for report in reports):
            raise WrongResultError("not sorted")
        rounds = tuple(TimedSorting(max(each)) for each in zip(*(r.rounds_s for r in reports), strict=True))
        return Launch(tuple(reports), rounds, list(reports[0].found), None)

    def samples(self, case: Sorting, launch: Launch) -> list[float]:
        return [round.seconds / case.gpus for round in launch.rounds]

    def figures(
        self, case: Sorting, checked: tuple[int, ...], launches: Sequence[Launch],
        limits: Sequence[DeviceLimits], telemetry: Telemetry | None,
    ) -> Mapping[str, object]:  # fmt: skip
        pause = dict.fromkeys(("mean", "p50", "p95", "p99"), 0.001)
        return {"numbers": float(len(case.numbers)), "pause_s": pause, "matches_reference": True}

    def caveats(self, checked: tuple[int, ...]) -> list[str]:
        return []

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        return []

    def result(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> Result:
        return Result(layout=Layout(**info["layout"]), extra_info=info, output=output, samples=samples)
