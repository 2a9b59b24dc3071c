"""What a speed-up refers to, and what is said where that is doubtful or cannot be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_case import CASE
from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.measure.result import Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner
from pytest_gpt_dist.measure.time_lost import time_lost
from pytest_gpt_dist.parallel import Layout

HEAT = "throttled: thermal"
DOUBT = f"speed-up refers to a disturbed run: {HEAT}, swapped"
MACHINE = Machine(
    device="cpu",
    gpus=(),
    driver=None,
    backend="gloo",
    threads_per_rank=1,
    share_gpu=False,
    cores=Cores((0, 1)),
)


def case(layout: Layout) -> Case:
    return replace(CASE, strategy=layout.id, layout=layout)


ALONE, SPLIT = case(Layout()), case(Layout(tp=2))


def timed(case: Case, *marks: str) -> Result:
    """A result of ten tokens a second and device, marked so."""
    info: dict[str, Any] = {
        "engine": case.engine, "oversubscribed": False, "shared_gpu": False, "marks": list(marks),
        "time_lost": time_lost([], []),
    }  # fmt: skip
    return Result(layout=case.layout, extra_info=info, samples=(1 / (10.0 * case.gpus),))


class OnDemand(CaseRunner[Case, None]):
    """Whose one-device case comes to what it is told."""

    def __init__(self, folder: Path, alone: Callable[[], Result]) -> None:
        never: Any = None
        super().__init__(never, never, MACHINE)
        self._comes_to = alone

    def _measure(self, case: Case, timing: Timing | None, status: Callable[[str], None]) -> Result:
        return self._comes_to()

    def told(self, case: Case, result: Result) -> Result:
        return self.scaled(case, result, None, lambda: ALONE, lambda text: None)


def never() -> Result:
    pytest.fail("measured again")


def test_a_disturbed_case_on_demand_marks_what_refers_to_it(tmp_path: Path) -> None:
    runner = OnDemand(tmp_path, lambda: timed(ALONE, "drifting: slowing down", HEAT, "swapped"))
    found = runner.told(SPLIT, timed(SPLIT, "tokens vary"))
    assert (found.speedup, found.extra_info["marks"]) == (2.0, ["tokens vary", DOUBT])


def test_a_disturbed_case_of_the_session_marks_others_and_not_itself_again(tmp_path: Path) -> None:
    runner = OnDemand(tmp_path, never)
    assert runner.told(ALONE, timed(ALONE, HEAT, "swapped")).extra_info["marks"] == [HEAT, "swapped"]
    assert runner.told(SPLIT, timed(SPLIT)).extra_info["marks"] == [DOUBT]


def test_a_steady_case_marks_nothing(tmp_path: Path) -> None:
    found = OnDemand(tmp_path, lambda: timed(ALONE, "tokens vary")).told(SPLIT, timed(SPLIT, HEAT))
    assert found.extra_info["marks"] == [HEAT]


@pytest.mark.parametrize(
    "error",
    [
        UsageError("too large"),
        WrongResultError("too large"),
        RankGroupError("death", (), "too large\nrank 0"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_one_device_that_cannot_run_the_case_costs_only_the_speedup(tmp_path: Path, error: Exception) -> None:
    def fails() -> Result:
        raise error

    found = OnDemand(tmp_path, fails).told(SPLIT, timed(SPLIT))
    assert (found.throughput, found.speedup) == (20.0, None)
    assert found.extra_info["marks"] == ["no speed-up: on one device, too large"]
