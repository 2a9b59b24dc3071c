"""The layout that arguments and options ask for, of whatever mode the case is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.chosen_layout import ONE_DEVICE, ChosenLayout, choose_layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.strategy import plan_of
from pytest_gpt_dist.registry import Registry, builtin

KNOWN = Registry()
builtin(KNOWN)
COUNTS = st.integers(1, 16)


def chosen(options: Options | None = None, **arguments: Any) -> ChosenLayout:
    return choose_layout(arguments, options or Options(), KNOWN)


def test_nothing_given_is_one_device() -> None:
    assert chosen() == ONE_DEVICE


@settings(deadline=None)
@given(gpus=COUNTS, strategy=st.sampled_from(KNOWN.strategies))
def test_a_strategy_has_its_layout_for_the_count(gpus: int, strategy: str) -> None:
    found = chosen(strategy=strategy, gpus=gpus)
    assert (found.strategy, found.layout) == (strategy, plan_of(KNOWN.strategy(strategy), gpus).layout)
    if found.degenerate is not None:
        assert plan_of(KNOWN.strategy(found.degenerate), gpus).layout == found.layout


@settings(deadline=None)
@given(dp=COUNTS, pp=COUNTS, tp=COUNTS)
def test_degrees_ids_and_options_name_the_same_layout(dp: int, pp: int, tp: int) -> None:
    layout = Layout(dp, pp, tp)
    degrees: dict[str, Any] = {"data_parallel": dp, "pipeline_parallel": pp, "tensor_parallel": tp}
    expected = ChosenLayout(layout.id, ParallelPlan(layout))
    assert chosen(**degrees) == chosen(strategy=layout.id) == chosen(Options(**degrees)) == expected


def test_arguments_win_over_options() -> None:
    options = Options(gpus=(4,))
    assert chosen(options).layout == Layout(dp=4)
    assert chosen(options, gpus=2).layout == Layout(dp=2)
    assert chosen(Options(tensor_parallel=2), strategy="pure_data_parallel").layout == Layout()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "pure_data_parallel", "tensor_parallel": 2}, "give either a strategy or degrees"),
        ({"gpus": 4, "tensor_parallel": 2}, "tensor_parallel 2 = 2 devices, but gpus=4"),
        ({"strategy": "tensor"}, "unknown strategy 'tensor'"),
        ({"strategy": 4}, "strategy=4: expected the name of a strategy"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(**arguments)
