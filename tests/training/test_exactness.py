"""Every strategy computes the gradients, norms and losses of one process, in float64 and float32."""

import pytest

from pytest_gpt_dist.training.strategies import Ddp, Zero1, Zero2, Zero3
from pytest_gpt_dist.training.strategy import TrainingStrategy
from trainings import SIZES, Trainings, job_of, work_of

DATA = (Ddp(), Zero1(), Zero2(), Zero3())


@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize("strategy", DATA, ids=lambda each: each.name)
def test_two_ranks_are_one_process_in_float64(
    trainings: Trainings, strategy: TrainingStrategy, family: str
) -> None:
    reports = trainings.run(job_of(strategy, 2, work_of(family)))
    assert [report.problem for report in reports] == [None, None]
    assert max(report.gradient_error or 0 for report in reports) < 1e-12
    assert max(report.loss_error or 0 for report in reports) < 1e-12
    assert reports[0].norms == reports[1].norms
