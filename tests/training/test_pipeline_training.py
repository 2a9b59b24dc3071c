"""Pipelined training is one process's, with every schedule, cut once more by tensor parallelism, and replicated."""

from dataclasses import replace

import pytest

from model_parallel import MODELS, cut_job, work_of_cut
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout
from trainings import Trainings


@pytest.mark.parametrize(
    ("model", "divider", "ranks"),
    [
        *((model, "OneForwardOneBackward", 3) for model in MODELS),
        ("qwen3", "OneForwardOneBackward", 2),
        ("gpt2", "GPipe", 3),
        ("llama-tied", "GPipe", 2),
    ],
)
def test_stages_of_unequal_length_are_one_process(
    trainings: Trainings, model: str, divider: str, ranks: int
) -> None:
    reports = trainings.run(cut_job(Layout(pp=ranks), divider, work_of_cut(model), accumulation=ranks + 1))
    assert [report.problem for report in reports] == [None] * ranks


@pytest.mark.parametrize(
    ("model", "divider"),
    [
        ("gpt2", "Interleaved"),
        ("llama", "Interleaved"),
        ("gpt2", "ZeroBubbleV"),
        ("llama-tied", "ZeroBubbleV"),
        ("qwen3", "ZeroBubbleV"),
    ],
)
def test_two_stages_on_each_rank_are_one_process(trainings: Trainings, model: str, divider: str) -> None:
    reports = trainings.run(cut_job(Layout(pp=2), divider, work_of_cut(model, layers=5), accumulation=4))
    assert [report.problem for report in reports] == [None] * 2


@pytest.mark.parametrize("model", ["gpt2", "qwen3"])
def test_tensor_parallel_stages_are_one_process(trainings: Trainings, model: str) -> None:
    job = cut_job(Layout(pp=2, tp=2), "OneForwardOneBackward", work_of_cut(model), accumulation=3)
    reports = trainings.run(job)
    assert [report.problem for report in reports] == [None] * 4


def test_replicas_of_tensor_parallel_stages_are_one_process(trainings: Trainings) -> None:
    job = cut_job(Layout(2, 2, 2), "OneForwardOneBackward", work_of_cut("qwen3", layers=2), accumulation=3)
    reports = trainings.run(job)
    assert [report.problem for report in reports] == [None] * 8
    assert len({report.norms for report in reports}) == 1


@pytest.mark.parametrize(
    ("divider", "layout"),
    [
        ("TensorParallel", Layout(tp=2)),
        ("OneForwardOneBackward", Layout(pp=2)),
        ("ZeroBubbleV", Layout(pp=2)),
    ],
    ids=["tensor", "1f1b", "zbv"],
)
def test_sixteen_bits_are_as_far_off_as_one_process(
    trainings: Trainings, divider: str, layout: Layout
) -> None:
    reports = trainings.run(
        cut_job(layout, divider, work_of_cut("gpt2", "bfloat16", steps=20), accumulation=4)
    )
    assert [report.problem for report in reports] == [None, None]
    assert max(report.gradient_error or 0 for report in reports) > 1e-4


@pytest.mark.parametrize(
    ("divider", "layout"),
    [("TensorParallel", Layout(tp=2)), ("GPipe", Layout(pp=2)), ("ZeroBubbleV", Layout(pp=2))],
    ids=["tensor", "gpipe", "zbv"],
)
def test_activations_that_are_computed_again_change_no_loss(
    trainings: Trainings, divider: str, layout: Layout
) -> None:
    job = cut_job(layout, divider, work_of_cut("llama"), accumulation=2)
    kept = trainings.run(job)[0]
    recomputed = trainings.run(replace(job, work=replace(job.work, checkpointing=2)))[0]
    assert (kept.problem, recomputed.problem) == (None, None)
    assert recomputed.losses == kept.losses


def test_a_split_backward_pass_refuses_to_compute_again_in_sixteen_bits(trainings: Trainings) -> None:
    job = cut_job(Layout(pp=2), "ZeroBubbleV", work_of_cut("gpt2", "bfloat16"), accumulation=2)
    with pytest.raises(UsageError, match="schedule zbv: in bfloat16 it cannot compute activations again"):
        trainings.run(replace(job, work=replace(job.work, checkpointing=1)))
