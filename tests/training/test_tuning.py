"""Ways of working that change memory and time are exact all the same; compressed gradients say how far they are off."""

from dataclasses import replace
from typing import Any

import pytest

from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.loss_scale import LossScaleError, LossScaler, LossScaling
from pytest_gpt_dist.training.model_parallel_strategies import Pipeline1F1B, TensorDataHybrid
from pytest_gpt_dist.training.strategies import Ddp, Hsdp, Zero1, Zero3
from pytest_gpt_dist.training.strategy import TrainingStrategy
from pytest_gpt_dist.training.tuning import Tuning, lacking
from trainings import Trainings, job_of, work_of

EXACT = [
    (Ddp(), Tuning(overlap=False)),
    (Zero1(), Tuning(activation_offload=True)),
    (Zero3(), Tuning(wrap=2, prefetch="both")),
    (Zero3(), Tuning(wrap=0, cpu_offload="both")),
    (Pipeline1F1B(), Tuning(activation_offload=True)),
]


@pytest.mark.parametrize(
    ("strategy", "tuning"), EXACT, ids=["overlap", "offload", "wrap", "root", "offload-1f1b"]
)
def test_ways_of_working_are_exact(trainings: Trainings, strategy: TrainingStrategy, tuning: Tuning) -> None:
    work = replace(work_of("gpt2", steps=2), tuning=tuning, checkpointing=2)
    reports = trainings.run(job_of(strategy, 2, work))
    assert [(report.problem, report.unproven) for report in reports] == [(None, ())] * 2
    assert max(report.gradient_error or 0 for report in reports) < 1e-12


def test_layers_that_are_gathered_together_are_fewer_and_larger_gathers(trainings: Trainings) -> None:
    work = work_of("gpt2", steps=1)
    found = [
        trainings.run(job_of(Zero3(), 2, replace(work, tuning=Tuning(wrap=wrap))))[0] for wrap in (1, 2, 0)
    ]
    calls = [each.traffic.calls["all_gather"] for each in found if each.traffic is not None]
    assert calls == [
        2 * (2 * 3 + 1),
        2 * (2 * 2 + 1),
        2 * 1,
    ]  # two microbatches; each run of layers twice, the root once
    gathered = [each.gathered or 0 for each in found]
    assert gathered[0] < gathered[1] < gathered[2]


@pytest.mark.parametrize(
    "strategy", [Ddp(), Zero3(), TensorDataHybrid(), Pipeline1F1B()], ids=lambda each: each.name
)
def test_float16_scales_its_loss(trainings: Trainings, strategy: TrainingStrategy) -> None:
    scaling = LossScaling(initial_power=24)  # which overflows
    work = work_of("gpt2", "float16", steps=4, scaling=scaling)
    reports = trainings.run(job_of(strategy, 2, work))
    assert [report.problem for report in reports] == [None, None]
    assert reports[0].skipped_steps == reports[1].skipped_steps > 0
    assert len(reports[0].losses) == 4


def test_a_fixed_scale_that_overflows_is_an_error(trainings: Trainings) -> None:
    work = work_of("gpt2", "float16", steps=2, scaling=LossScaling(initial_power=8))
    job = job_of(Ddp(), 2, work)
    reference = trainings.reference(job)
    scaling = LossScaling(fixed=2.0**40)
    job = replace(job, work=replace(work, recipe=replace(work.recipe, scaling=scaling)), reference=reference)
    reports = trainings.run_as_is(job)
    assert reports[0].problem == "gradients overflow in float16 with the fixed loss scale 1.09951e+12"


def test_gradients_may_be_reduced_in_sixteen_bits(trainings: Trainings) -> None:
    work = replace(work_of("gpt2", "bfloat16", steps=4), tuning=Tuning(reduce_dtype="bfloat16"))
    short, long = (
        trainings.run(job_of(Zero3(), 2, each))[0]
        for each in (work, replace(work, tuning=Tuning(reduce_dtype="float32")))
    )
    assert (short.problem, long.problem) == (None, None)
    assert short.traffic is not None
    assert long.traffic is not None
    assert 2 * short.traffic.bytes["reduce_scatter"] == long.traffic.bytes["reduce_scatter"]


@pytest.mark.parametrize(
    ("tuning", "most_gap", "least_ratio"),
    [
        (Tuning(compression="fp16"), 1e-3, 1.9),
        (Tuning(compression="powersgd", compression_rank=1), 0.1, 2.0),
        (Tuning(compression="topk", compression_share=0.05), 0.1, 4.0),
    ],
    ids=["fp16", "powersgd", "topk"],
)
def test_compressed_gradients_say_how_far_they_are_off(
    trainings: Trainings, tuning: Tuning, most_gap: float, least_ratio: float
) -> None:
    work = work_of("gpt2", "float32")
    whole = trainings.run(job_of(Ddp(), 2, work))[0]
    first, second = trainings.run(job_of(Ddp(), 2, replace(work, tuning=tuning)))
    assert (first.problem, second.problem) == (None, None)
    assert first.gradient_error is None
    assert first.loss_gap is not None
    assert 0 < abs(first.loss_gap) < most_gap
    assert whole.traffic is not None
    assert first.traffic is not None
    assert whole.traffic.total_bytes / first.traffic.total_bytes > least_ratio
    assert first.unproven == ("traffic",)


def test_what_overflows_is_tried_again_with_half_of_the_scale() -> None:
    scaler = LossScaler(LossScaling(initial_power=4, window=2, hysteresis=2, minimum=4.0))
    seen = []
    for overflowed in (True, True, False, False, False, True, True, True):
        scaler.update(overflowed=overflowed)
        seen.append(scaler.scale)
    # One overflow is borne; then each halves, until two good steps double and bear one again.
    assert seen == [16.0, 8.0, 8.0, 16.0, 16.0, 16.0, 8.0, 4.0]
    assert scaler.skipped == 5
    with pytest.raises(LossScaleError, match="with the smallest loss scale 4"):
        scaler.update(overflowed=True)


@pytest.mark.parametrize(
    ("tuning", "plan", "dtype", "said"),
    [
        (Tuning(wrap=2), Ddp().plan(2), "float32", r"--gpt-train-wrap is fully_shard's, which dp2"),
        (Tuning(prefetch="both"), Pipeline1F1B().plan(2), "float32", "--gpt-train-prefetch is fully_shard's"),
        (Tuning(compression="topk"), Zero3().plan(2), "float32", "--gpt-train-compression is DDP's"),
        (Tuning(overlap=False), Hsdp().plan(4), "float32", "--gpt-train-overlap is DDP's"),
        (Tuning(cpu_offload="optimizer"), Zero3().plan(2), "float32", "all of the state or none; take both"),
        (
            Tuning(reduce_dtype="float16"),
            Zero3().plan(2),
            "bfloat16",
            "in bfloat16 it is float32 or the same",
        ),
    ],
)
def test_what_a_library_lacks_is_one_line(tuning: Tuning, plan: ParallelPlan, dtype: str, said: str) -> None:
    found = lacking(tuning, plan, dtype, None)
    assert found is not None
    assert said in found
    assert len(found.splitlines()) == 1


def test_what_a_library_has_and_what_one_device_does_is_not_refused() -> None:
    asked: list[tuple[Tuning, Any]] = [
        (Tuning(wrap=0, prefetch="forward", cpu_offload="both"), Zero3().plan(2)),
        (Tuning(compression="fp16", overlap=True), Zero1().plan(2)),
        (Tuning(wrap=3, compression="topk"), Ddp().plan(1)),
        (Tuning(activation_offload=True), TensorDataHybrid().plan(2)),
    ]
    assert [lacking(tuning, plan, "float32", None) for tuning, plan in asked] == [None] * 4
    assert lacking(Tuning(), Zero3().plan(2), "float32", 25) is not None
