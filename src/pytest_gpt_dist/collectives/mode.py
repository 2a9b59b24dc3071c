"""Collectives as a mode: what its ranks run, and what comes of their reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_gpt_dist.collectives.case import CollectiveCase
from pytest_gpt_dist.collectives.cases import CollectiveCases
from pytest_gpt_dist.collectives.measured import Measured, TimedOperation
from pytest_gpt_dist.collectives.messages import CollectiveJob, CollectiveReport
from pytest_gpt_dist.collectives.result_format import COLLECTIVES
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.mode import ModeContext, Status
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.telemetry.summary import Telemetry


class CollectiveMode:
    """Collectives, each checked element by element."""

    format = COLLECTIVES
    preload = ("pytest_gpt_dist.collectives.worker",)

    def __init__(self, context: ModeContext) -> None:
        self.cases = CollectiveCases(context)

    def check(self, case: CollectiveCase, status: Status) -> None:
        """Do nothing beforehand: what a collective must come to is known by arithmetic, and compared on each rank."""

    def job(self, case: CollectiveCase, checked: None, timing: Timing | None) -> tuple[str, CollectiveJob]:
        """Return what each rank communicates, checks and times."""
        return "pytest_gpt_dist.collectives.worker:run_case", CollectiveJob(
            case.collective, case.dtype, timing
        )

    def launched(self, case: CollectiveCase, checked: None, reports: Sequence[CollectiveReport]) -> Launch:
        """Return the rounds that ranks report, once their results are found to be right."""
        problem = next((report.problem for report in reports if report.problem is not None), None)
        if problem is not None:
            raise WrongResultError(f"{case.collective.kind}: {problem}")
        rounds = tuple(
            TimedOperation(max(each.seconds for each in ranks))
            for ranks in zip(*(report.rounds for report in reports), strict=True)
        )
        return Launch(tuple(reports), rounds, None, None)

    def samples(self, case: CollectiveCase, launch: Launch) -> list[float]:
        """Return the seconds per byte of each round."""
        return [round.seconds / case.collective.bytes for round in launch.rounds]

    def figures(
        self,
        case: CollectiveCase,
        checked: None,
        launches: Sequence[Launch],
        limits: Sequence[DeviceLimits],
        telemetry: Telemetry | None,
    ) -> Mapping[str, object]:
        """Return every metric that has its own way of being computed."""
        run = Measured(case, launches)
        figures = {
            metric.name: metric.value(run) for metric in self.format.metrics if metric.value is not None
        }
        return figures | {"matches_reference": True}

    def caveats(self, checked: None) -> list[str]:
        """Return nothing: what a result must be is beyond doubt."""
        return []

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return nothing: the mode has no doubts of its own."""
        return []

    def result(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> Result:
        """Return the result that these entries make."""
        return Result(layout=Layout(**info["layout"]), extra_info=info, output=output, samples=samples)
