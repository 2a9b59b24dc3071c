"""A mode that the package knows nothing of: each rank sorts some numbers, which is checked and timed as any case is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.matrix import MatrixCase, matrix
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.chosen_layout import ONE_DEVICE, choose_layout
from pytest_gpt_dist.results.metrics import SCHEMA

NOT_MEASURED = (
    *("tokens_per_s", "latency_s", "ttft_s", "tpot_s", "itl_s", "speedup", "efficiency", "reference", "mbu", "mfu"),
    *("max_logit_error", "matches_reference", "gpu_utilization", "telemetry", "model", "dtype", "scaling"),
    "degenerate",
)  # fmt: skip
"""What tables and properties ask of every case."""


@dataclass(frozen=True)
class Sorting:
    """A case: each rank sorts the numbers."""

    layout: Layout
    numbers: tuple[int, ...] = (3, 1, 2)
    strategy: str = ONE_DEVICE.strategy
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


@dataclass(frozen=True)
class TimedSorting:
    seconds: float


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

    def matrix(self, arguments: Mapping[str, Any], own: Any) -> Sequence[MatrixCase]:
        return matrix(self._context.options, self._context.registry.strategies, "sorted")

    def case(self, arguments: Mapping[str, Any]) -> Sorting:
        chosen = choose_layout(arguments, self._context.options, self._context.registry)
        return Sorting(chosen.layout, tuple(arguments.get("numbers") or (3, 1, 2)), chosen.strategy)

    def alone(self, case: Sorting) -> Sorting:
        return Sorting(Layout(), case.numbers)

    def lacks(self, case: Sorting) -> str | None:
        return None if len(case.numbers) < 9 else "too many numbers to sort"

    def fingerprint(self, case: Sorting) -> Mapping[str, Any]:
        return {"layout": case.layout.id, "numbers": list(case.numbers)}


class SortingMode:
    name = "sorting"
    compared = ("launches",)

    def __init__(self, context: ModeContext) -> None:
        self.cases = SortingCases(context)

    def check(self, case: Sorting, status: Callable[[str], None]) -> tuple[int, ...]:
        return (1, 2, 3)  # so other numbers are a wrong result

    def job(
        self, case: Sorting, checked: tuple[int, ...], timing: Timing | None
    ) -> tuple[Callable[[Any], Any], Any]:
        return sort, (case.numbers, (timing.rounds or timing.min_rounds) if timing else 0)

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
        by_launch = [[round.seconds / case.gpus for round in launch.rounds] for launch in launches]
        layout = case.layout
        info: dict[str, Any] = dict.fromkeys(NOT_MEASURED) | {
            "schema": SCHEMA,
            "mode": self.name,
            "fingerprint": self.cases.fingerprint(case),
            "engine": case.engine,
            "strategy": case.strategy,
            "gpus": case.gpus,
            "layout": {"dp": layout.dp, "pp": layout.pp, "tp": layout.tp},
            "device_name": "any",
            "oversubscribed": False,
            "shared_gpu": False,
            "time_lost": dict.fromkeys(("communication", "bubble", "imbalance", "host", "other")),
            "peak_memory_bytes": [None] * case.gpus,
            "marks": [],
            "resumed": False,
            "launches": by_launch,
        }
        samples = tuple(sample for launch in by_launch for sample in launch)
        return Result(layout=layout, extra_info=info, samples=samples)

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        return []

    def gated_figures(self, case: Sorting, launch: Launch) -> Mapping[str, float | None]:
        return {"seconds_per_token": launch.rounds[0].seconds}

    def series(self, test: str, info: Mapping[str, Any]) -> str:
        return f"{test} · sorted"

    def restored(self, info: dict[str, Any], output: Any) -> Result:
        samples = tuple(sample for launch in info["launches"] for sample in launch)
        return Result(layout=Layout(**info["layout"]), extra_info=info | {"resumed": True}, samples=samples)
