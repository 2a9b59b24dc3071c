"""Every strategy computes the gradients, norms and losses of one process, in float64 and float32."""

from dataclasses import replace
from typing import Any

import pytest

from pytest_gpt_dist.parallel.training_state import padded_slice
from pytest_gpt_dist.training.shapes import state_shapes
from pytest_gpt_dist.training.strategies import Ddp, Hsdp, Zero1, Zero2, Zero3
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
    assert max(report.parameter_error or 1 for report in reports) < 1e-9
    assert reports[0].norms == reports[1].norms


@pytest.mark.parametrize("strategy", DATA, ids=lambda each: each.name)
def test_three_ranks_that_divide_nothing_evenly_are_one_process(
    trainings: Trainings, strategy: TrainingStrategy
) -> None:
    reports = trainings.run(job_of(strategy, 3, work_of("gpt2"), micro=1, accumulation=3))
    assert [report.problem for report in reports] == [None] * 3


def test_replicas_of_shards_are_one_process(trainings: Trainings) -> None:
    reports = trainings.run(job_of(Hsdp(), 4, work_of("qwen3"), micro=1))
    assert [report.problem for report in reports] == [None] * 4


@pytest.mark.parametrize("strategy", DATA[::3], ids=lambda each: each.name)
def test_two_ranks_are_one_process_in_float32(trainings: Trainings, strategy: TrainingStrategy) -> None:
    reports = trainings.run(job_of(strategy, 2, work_of("llama", "float32")))
    assert [report.problem for report in reports] == [None, None]
    assert 1e-9 < max(report.gradient_error or 0 for report in reports) < 1e-5


@pytest.mark.parametrize("strategy", DATA[::3], ids=lambda each: each.name)
def test_sixteen_bits_keep_weights_in_float32_and_are_as_far_off_as_one_process(
    trainings: Trainings, strategy: TrainingStrategy
) -> None:
    work = replace(work_of("gpt2", "bfloat16"), checkpointing=1)
    (first, second) = trainings.run(job_of(strategy, 2, work))
    assert (first.problem, second.problem) == (None, None)
    assert (first.gradient_error or 0) > 1e-4


@pytest.mark.parametrize("strategy", DATA[::3], ids=lambda each: each.name)
def test_activation_checkpointing_changes_nothing_but_memory_and_time(
    trainings: Trainings, strategy: TrainingStrategy
) -> None:
    job = job_of(strategy, 2, work_of("gpt2"))
    kept = trainings.run(job)[0]
    recomputed = trainings.run(replace(job, work=replace(job.work, checkpointing=2)))[0]
    assert recomputed.problem is None
    assert recomputed.losses == kept.losses
    assert recomputed.traffic == kept.traffic


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "lr": 0.1, "clip": None},
        {"schedule": "cosine", "warmup_steps": 4, "clip": 0.1, "betas": (0.8, 0.9)},
    ],
    ids=["sgd", "cosine"],
)
def test_other_recipes_are_those_of_one_process(trainings: Trainings, recipe: dict[str, Any]) -> None:
    for strategy in (Zero1(), Zero3()):
        reports = trainings.run(job_of(strategy, 2, work_of("qwen3", **recipe)))
        assert [report.problem for report in reports] == [None, None]


def test_zero2_has_all_parameters_at_once_and_zero3_one_block_beside_the_root(trainings: Trainings) -> None:
    work = work_of("qwen3")
    shapes = state_shapes(work.model.config, work.dtype, work.recipe)
    *blocks, root = [sum(2 * padded_slice(shape, 2) for shape in unit) * 8 for unit in shapes.tensors]
    whole, some = (trainings.run(job_of(strategy, 2, work))[0] for strategy in (Zero2(), Zero3()))
    assert whole.gathered == sum(blocks) + root
    assert some.gathered == blocks[0] + root
    assert some.held == whole.held


def test_replicas_have_all_parameters(trainings: Trainings) -> None:
    report = trainings.run(job_of(Ddp(), 2, work_of("qwen3")))[0]
    assert report.held is not None
    assert report.gathered == report.held.parameters
