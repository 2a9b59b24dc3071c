"""Pipelined training is one process's, with every schedule, cut once more by tensor parallelism, and replicated."""

import pytest

from model_parallel import MODELS, cut_job, work_of_cut
from pytest_gpt_dist.parallel import Layout
from trainings import Trainings


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("divider", ["GPipe", "OneForwardOneBackward"])
@pytest.mark.parametrize("model", MODELS)
def test_stages_of_unequal_length_are_one_process(
    trainings: Trainings, model: str, divider: str, ranks: int
) -> None:
    reports = trainings.run(cut_job(Layout(pp=ranks), divider, work_of_cut(model), accumulation=ranks + 1))
    assert [report.problem for report in reports] == [None] * ranks


@pytest.mark.parametrize("divider", ["Interleaved", "ZeroBubbleV"])
@pytest.mark.parametrize("model", MODELS)
def test_two_stages_on_each_rank_are_one_process(trainings: Trainings, model: str, divider: str) -> None:
    reports = trainings.run(cut_job(Layout(pp=2), divider, work_of_cut(model, layers=5), accumulation=4))
    assert [report.problem for report in reports] == [None] * 2


@pytest.mark.parametrize("model", ["gpt2", "llama", "qwen3"])
def test_tensor_parallel_stages_are_one_process(trainings: Trainings, model: str) -> None:
    job = cut_job(Layout(pp=2, tp=2), "OneForwardOneBackward", work_of_cut(model), accumulation=3)
    reports = trainings.run(job)
    assert [report.problem for report in reports] == [None] * 4


def test_replicas_of_tensor_parallel_stages_are_one_process(trainings: Trainings) -> None:
    job = cut_job(Layout(2, 2, 2), "OneForwardOneBackward", work_of_cut("qwen3", layers=2), accumulation=3)
    reports = trainings.run(job)
    assert [report.problem for report in reports] == [None] * 8
    assert len({report.norms for report in reports}) == 1
