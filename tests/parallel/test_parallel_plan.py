"""Plans: a layout, and how data-parallel ranks divide the state of a training."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.chosen_layout import ChosenLayout
from pytest_gpt_dist.parallel.plan import ParallelPlan, Sharded
from pytest_gpt_dist.parallel.strategy import PureDataParallel, degenerate, plan_of

DEGREES = st.integers(1, 8)
SHARDED = st.sampled_from(["optimizer", "gradients", "parameters"])


@dataclass(frozen=True)
class Fsdp:
    """Fully sharded over all devices, or over as many as said, in replicas."""

    name: str = "zero3"
    shard: int | None = None
    library: str = "fsdp2"

    def plan(self, gpus: int) -> ParallelPlan:
        shard = self.shard or gpus
        sharded: Sharded = "parameters" if shard > 1 else ""
        return ParallelPlan(Layout(dp=gpus), shard, sharded, self.library if sharded else "")


@given(dp=DEGREES, pp=DEGREES, tp=DEGREES)
def test_a_plan_that_divides_nothing_has_the_id_of_its_layout(dp: int, pp: int, tp: int) -> None:
    layout = Layout(dp, pp, tp)
    plan = ParallelPlan(layout)
    assert (plan.id, str(plan), plan.dp_replicate, plan.world_size) == (
        layout.id,
        str(layout),
        dp,
        dp * pp * tp,
    )


@given(replicate=DEGREES, shard=st.integers(2, 8), sharded=SHARDED)
def test_replicas_and_shards_make_up_the_data_axis(replicate: int, shard: int, sharded: str) -> None:
    plan = ParallelPlan(Layout(dp=replicate * shard), shard, sharded)  # type: ignore[arg-type]
    assert plan.dp_replicate == replicate
    assert plan.id == f"dp{replicate * shard}pp1tp1-{sharded}{shard}"


@given(one=st.tuples(DEGREES, SHARDED), other=st.tuples(DEGREES, SHARDED))
def test_plans_that_differ_have_ids_that_differ(one: tuple[int, str], other: tuple[int, str]) -> None:
    assume(one != other and 1 not in (one[0], other[0]))
    layout = Layout(dp=840)
    plans = [ParallelPlan(layout, shard, sharded) for shard, sharded in (one, other)]  # type: ignore[arg-type]
    assert plans[0].id != plans[1].id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((Layout(dp=4), 3, "optimizer"), "does not divide its 4 replicas"),
        ((Layout(dp=4), 0), "dp_shard="),
        ((Layout(dp=4), 2), "more than one rank divides a state, and one divides none"),
        ((Layout(dp=4), 1, "optimizer"), "more than one rank divides a state, and one divides none"),
        ((Layout(dp=4), 2, "weights"), "sharded='weights': expected one of optimizer, gradients, parameters"),
        ((Layout(dp=4), 1, "", "", "1f1b"), "schedule='1f1b': dp4·pp1·tp1 has a single stage"),
    ],
)
def test_a_plan_that_contradicts_itself_is_one_line(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        ParallelPlan(*arguments)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_a_strategy_of_a_layout_alone_divides_no_state() -> None:
    assert plan_of(PureDataParallel(), 4) == ParallelPlan(Layout(dp=4))


def test_one_layout_divided_in_two_ways_is_two_strategies() -> None:
    ddp, zero3 = PureDataParallel(), Fsdp()
    assert degenerate(zero3, 4, [ddp, zero3]) is None
    assert degenerate(zero3, 1, [ddp, zero3]) == ddp.name


def test_a_second_name_of_a_plan_is_degenerate_and_another_library_is_none() -> None:
    assert degenerate(Fsdp("fsdp"), 4, [Fsdp()]) == "zero3"
    assert degenerate(Fsdp("deepspeed", library="deepspeed"), 4, [Fsdp()]) is None
    assert degenerate(Fsdp("hsdp", shard=2), 4, [Fsdp()]) is None


def test_a_plan_of_another_number_of_devices_is_refused() -> None:
    class Wrong:
        name = "wrong"

        def layout(self, gpus: int) -> Layout:
            return Layout(dp=gpus + 1)

    with pytest.raises(UsageError, match="strategy 'wrong': its layout for 2 devices, dp3·pp1·tp1, is of 3"):
        plan_of(Wrong(), 2)


def test_work_without_a_trainings_state_refuses_a_plan_that_divides_one() -> None:
    plan = Fsdp().plan(2)
    with pytest.raises(UsageError) as raised:
        ChosenLayout("zero3", plan).undivided()
    assert str(raised.value) == (
        "strategy 'zero3': dp2·pp1·tp1 · parameters in 2 shards · fsdp2 is a plan for training"
    )
    whole = ChosenLayout("ddp", ParallelPlan(Layout(dp=2)))
    assert whole.undivided() == whole
