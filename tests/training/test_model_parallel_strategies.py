"""What strategies that cut the model make of a device count, and that each of them is one process there."""

import pytest

from model_parallel import work_of_cut
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.training.model_parallel_strategies import (
    MODEL_PARALLEL,
    FullModelParallel,
    PipelineZBV,
    TensorDataHybrid,
)
from pytest_gpt_dist.training.strategy import TrainingStrategy
from trainings import Trainings, job_of


def test_plans_say_degrees_and_schedule() -> None:
    assert TensorDataHybrid().plan(4).id == "dp2pp1tp2"
    assert PipelineZBV().plan(2).id == "dp1pp2tp1-zbv"
    assert FullModelParallel().plan(8).id == "dp2pp2tp2-1f1b"
    assert {strategy().plan(1).id for strategy in MODEL_PARALLEL[:-1]} == {"dp1pp1tp1"}
    with pytest.raises(UsageError, match="take 4, 8, … devices, not 2"):
        FullModelParallel().plan(2)


@pytest.mark.parametrize("strategy", [each() for each in MODEL_PARALLEL], ids=lambda each: each.name)
def test_four_devices_are_one_process(trainings: Trainings, strategy: TrainingStrategy) -> None:
    work = work_of_cut("gpt2", layers=8, steps=2)
    reports = trainings.run(job_of(strategy, 4, work, accumulation=4))
    assert [(report.problem, report.unproven) for report in reports] == [(None, ())] * 4
