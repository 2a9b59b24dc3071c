"""Shares of tensor-parallel ranks: every element is on a rank and counted once, without any process."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_parallel import MODELS
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.parallel import Dimensions
from pytest_gpt_dist.training.pipeline_stages import GPIPE, INTERLEAVED, SCHEDULES, ZBV, training_stages
from pytest_gpt_dist.training.tensor_parallel_gradients import norm_views
from pytest_gpt_dist.training.tensor_parallel_module import scatter
from pytest_gpt_dist.training.tensor_parallel_shares import Place, share_of, tensor_slices


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 5))
def test_every_element_is_held_and_what_is_cut_is_counted_once(model: str, ranks: int) -> None:
    config = DecoderConfig.from_hf(MODELS[model], model)
    for name, spec in checkpoint_tensors(config).items():
        holders, counts = torch.zeros(spec.shape), torch.zeros(spec.shape)
        shares = [share_of(config, Place(rank, ranks), name) for rank in range(ranks)]
        for share in shares:
            mine, whole = torch.ones(share.local_shape), torch.zeros(spec.shape)
            scatter(whole, mine, share)
            holders += whole
            norm_views(mine, share)[0].mul_(2)
            scatter(whole, mine - 1, share)
            counts += whole
        assert holders.min() >= 1, name
        assert counts.eq(1).all() if shares[0].is_cut else counts.eq(ranks).all(), name
        summed = torch.zeros(spec.shape[0], dtype=torch.bool)
        for rows in shares[0].summed:
            summed[rows.slice] = True
        if shares[0].is_cut:
            assert summed.equal(holders.reshape(spec.shape[0], -1)[:, 0] > 1), name


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_25_heads_of_gpt2_xl_are_cut_unevenly(ranks: int) -> None:
    config = DecoderConfig.from_hf(MODELS["gpt2"] | {"n_embd": 1600, "n_head": 25}, "gpt2-xl")
    heads = [len(tensor_slices(config, Place(rank, ranks)).heads) for rank in range(ranks)]
    assert heads == ([13, 12] if ranks == 2 else [7, 6, 6, 6])
    share = share_of(config, Place(1, ranks), "transformer.h.0.attn.c_attn.weight")
    assert share.local_shape == (1600, 3 * heads[1] * 64)


def test_ranks_without_a_head_are_refused() -> None:
    config = DecoderConfig.from_hf(MODELS["gpt2"], "gpt2")
    with pytest.raises(UsageError, match="tensor parallel 6: the model has 5 heads"):
        tensor_slices(config, Place(0, 6))


def test_bubbles_follow_from_counts() -> None:
    assert GPIPE.bubble(4, 8) == 3 / 11
    assert INTERLEAVED.bubble(4, 8) == 3 / 19
    assert ZBV.bubble(4, 8) == 0


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(2, 8))
def test_every_stage_has_one_rank_and_the_last_one_is_where_the_loss_is(name: str, ranks: int) -> None:
    schedule = SCHEDULES[name]
    stages = [stage for rank in range(ranks) for stage in schedule.stages_of(rank, ranks)]
    assert sorted(stages) == list(range(ranks * schedule.stages_per_rank))
    assert len(stages) - 1 in schedule.stages_of(schedule.last_rank(ranks), ranks)


def test_microbatches_that_an_interleaved_schedule_cannot_order_are_refused() -> None:
    INTERLEAVED.check(2, 4)
    with pytest.raises(UsageError, match="5 microbatches do not divide into 2 rounds of 2"):
        INTERLEAVED.check(2, 5)


def test_the_head_takes_layers_from_the_last_stage() -> None:
    size = Dimensions(8, 4, 4, 8, 32, 128, 1000, 64)
    first, last = training_stages(size, 2)
    assert len(first) > len(last)
