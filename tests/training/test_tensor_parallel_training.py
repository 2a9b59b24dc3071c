"""Tensor-parallel training is one process's: gradients by name, norms on all ranks, and losses, in float64."""

import pytest

from model_parallel import MODELS, cut_job, work_of_cut
from pytest_gpt_dist.parallel import Layout
from trainings import Trainings


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_uneven_shares_are_one_process(trainings: Trainings, model: str, ranks: int) -> None:
    reports = trainings.run(cut_job(Layout(tp=ranks), "TensorParallel", work_of_cut(model, layers=2)))
    assert [report.problem for report in reports] == [None] * ranks
    assert max(report.gradient_error or 0 for report in reports) < 1e-9
    assert len({report.norms for report in reports}) == 1
