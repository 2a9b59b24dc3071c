"""What ranks of a cut model must hold, by the plan alone."""

from math import prod

import pytest

from model_parallel import MODELS
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.presets import GPT2_XL
from pytest_gpt_dist.model.tensors import HEAD_NAME, checkpoint_tensors
from pytest_gpt_dist.parallel import Layout, parameter_count
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.expected_shares import expected_share, held_tensors, state_by_rank
from pytest_gpt_dist.training.model_parallel_strategies import FullModelParallel
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.shapes import state_shapes
from pytest_gpt_dist.training.strategies import Ddp, Zero3


def config_of(model: str) -> DecoderConfig:
    return DecoderConfig.from_hf(MODELS[model], model)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "interleaved", "zbv"])
@pytest.mark.parametrize("model", ["gpt2-untied", "llama", "qwen3"])
def test_stages_hold_each_tensor_once(model: str, schedule: str) -> None:
    config = config_of(model)
    plan = ParallelPlan(Layout(pp=2), schedule=schedule)
    held = [name for rank in (0, 1) for name in held_tensors(config, plan, rank)]
    tied = [HEAD_NAME] if config.dimensions.tied else []
    assert sorted(held) == sorted([*checkpoint_tensors(config), *tied])


def test_a_tied_head_on_the_last_stage_is_one_more_tensor() -> None:
    config = config_of("gpt2")
    plan = ParallelPlan(Layout(pp=2), schedule="1f1b")
    assert HEAD_NAME not in held_tensors(config, plan, 0)
    assert HEAD_NAME in held_tensors(config, plan, 1)


@pytest.mark.parametrize("ranks", [2, 3])
def test_tensor_parallel_ranks_hold_the_whole_and_again_what_is_not_cut(ranks: int) -> None:
    config = config_of("gpt2")
    shapes = state_shapes(config, "float64", Recipe())
    plan = ParallelPlan(Layout(tp=ranks))
    shares = [expected_share(config, shapes, plan, rank) for rank in range(ranks)]
    size = config.dimensions
    norms_and_biases = size.layers * 6 * size.hidden + 2 * size.hidden + size.positions * size.hidden
    whole = sum(map(prod, shapes.all))
    held = sum(share.parameters for share in shares if share is not None) // 8
    assert held == whole + (ranks - 1) * norms_and_biases


def test_plans_that_cut_nothing_have_other_formulas() -> None:
    config = config_of("gpt2")
    shapes = state_shapes(config, "float64", Recipe())
    assert expected_share(config, shapes, ParallelPlan(Layout(dp=2)), 0) is None


def test_gpt2_xl_is_planned_without_being_built() -> None:
    config = GPT2_XL.config
    parameters = 4 * parameter_count(config.dimensions)
    whole = state_by_rank(config, Ddp().plan(8), "bfloat16", Recipe())
    divided = state_by_rank(config, Zero3().plan(8), "bfloat16", Recipe())
    cut = state_by_rank(config, FullModelParallel().plan(8), "bfloat16", Recipe())
    assert whole is not None
    assert divided is not None
    assert cut is not None
    assert {each.parameters for each in whole} == {parameters}
    assert all(parameters / 8 <= each.parameters < parameters / 8 * 1.001 for each in divided)
    # Two stages have a tied table each, and tensor-parallel ranks the same norms and biases.
    assert parameters * 2 < sum(each.parameters for each in cut) < parameters * 2 * 1.1
    assert (
        state_by_rank(config, ParallelPlan(Layout(dp=2), 2, "parameters", "other"), "float32", Recipe())
        is None
    )
