"""The named strategies, their registration, and near matches for names that do not exist."""

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.strategy import degenerate, plan_of
from pytest_gpt_dist.registry import Registry, builtin

NAMES = ("pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid", "full_model_parallel")

LAYOUTS = {
    1: ("dp1pp1tp1", "dp1pp1tp1", "dp1pp1tp1", "dp1pp1tp1"),
    2: ("dp2pp1tp1", "dp1pp1tp2", "dp1pp2tp1", "dp1pp1tp2"),
    3: ("dp3pp1tp1", "dp1pp1tp3", "dp1pp3tp1", "dp1pp1tp3"),
    4: ("dp4pp1tp1", "dp2pp1tp2", "dp2pp2tp1", "dp1pp2tp2"),
    6: ("dp6pp1tp1", "dp3pp1tp2", "dp3pp2tp1", "dp1pp2tp3"),
    8: ("dp8pp1tp1", "dp4pp1tp2", "dp4pp2tp1", "dp1pp2tp4"),
    9: ("dp9pp1tp1", "dp3pp1tp3", "dp3pp3tp1", "dp1pp3tp3"),
    16: ("dp16pp1tp1", "dp8pp1tp2", "dp8pp2tp1", "dp1pp4tp4"),
}


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    builtin(registry)
    return registry


@pytest.mark.parametrize("gpus", LAYOUTS)
def test_layouts(registry: Registry, gpus: int) -> None:
    assert tuple(plan_of(registry.strategy(name), gpus).id for name in NAMES) == LAYOUTS[gpus]


@pytest.mark.parametrize("name", NAMES)
def test_every_count_is_used_whole(registry: Registry, name: str) -> None:
    strategy = registry.strategy(name)
    assert strategy.name == name
    assert all(plan_of(strategy, gpus).world_size == gpus for gpus in range(1, 130))
    for gpus in (0, 4097, 10**30, 10**5000):
        with pytest.raises(UsageError, match=r"^gpus=.*: expected a whole number from 1 to 4,096$"):
            plan_of(strategy, gpus)


def test_the_later_of_two_equal_strategies_is_degenerate(registry: Registry) -> None:
    strategies = [registry.strategy(name) for name in registry.strategies]
    same = {gpus: [degenerate(strategy, gpus, strategies) for strategy in strategies] for gpus in (1, 2, 4)}
    assert same == {
        1: [None, "pure_data_parallel", "pure_data_parallel", "pure_data_parallel"],
        2: [None, None, None, "tensor_data_hybrid"],
        4: [None, None, None, None],
    }


def test_the_builtin_names_are_listed_in_order(registry: Registry) -> None:
    assert registry.strategies == NAMES
    assert registry.engines[:2] == ("native", "native-eager")
    assert registry.models[0] == "gpt2-mini"


def test_an_unknown_name_is_one_line_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(UsageError) as error:
        registry.strategy("full_model_paralel")
    assert str(error.value) == "unknown strategy 'full_model_paralel': did you mean full_model_parallel?"
    with pytest.raises(
        UsageError,
        match=r"there are ctranslate2, llama_cpp, native, native-compiled, native-eager, transformers, "
        r"transformers-eager$",
    ):
        registry.engine_path("zzz")


class OneReplica:
    """A strategy as a user would write one."""

    name = "one_replica"

    def layout(self, gpus: int) -> Layout:
        return Layout(tp=gpus)


def test_a_strategy_of_ones_own(registry: Registry) -> None:
    registry.add_strategy("one_replica", f"{__name__}:OneReplica")
    assert plan_of(registry.strategy("one_replica"), 3).layout == Layout(tp=3)


@pytest.mark.parametrize("path", ["no.such.module:X", f"{__name__}:Nothing"])
def test_a_path_that_leads_nowhere_is_one_line(registry: Registry, path: str) -> None:
    registry.add_strategy("mine", path)
    with pytest.raises(UsageError, match=r"strategy 'mine': cannot load"):
        registry.strategy("mine")


def test_a_path_needs_a_colon(registry: Registry) -> None:
    with pytest.raises(UsageError, match="not of the form"):
        registry.add_engine("mine", "package.module.Class")


def test_a_name_cannot_be_taken_twice(registry: Registry) -> None:
    with pytest.raises(UsageError, match="already registered"):
        registry.add_engine("native", "other:Engine")
