"""What the ranks of a cut model must send, by the formulas alone; that ranks send it is each training's own check."""

from dataclasses import replace
from typing import Any

import pytest

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_traffic import TrainingTraffic
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.expected_cut_traffic import expected_cut_traffic
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel

SHAPE: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 4, "intermediate_size": 128, "max_position_embeddings": 64, "vocab_size": 256,
    "tie_word_embeddings": False,
}  # fmt: skip
BATCHES = BatchPlan(1, 4, 1)
HIDDEN = 1 * 33 * 64 * 8
WORK = TrainingWork(
    TrainedModel(DecoderConfig.from_hf(SHAPE, "llama"), None, 0),
    SyntheticSamples(0, 256, 33, 4),
    Recipe(),
    "float64",
)


def traffic_of(
    layout: Layout, schedule: str = "", rank: int = 0, work: TrainingWork = WORK
) -> TrainingTraffic:
    found = expected_cut_traffic(work, ParallelPlan(layout, schedule=schedule), BATCHES, rank)
    assert found is not None
    return found.traffic


@pytest.mark.parametrize(("schedule", "hops"), [("gpipe", 1), ("1f1b", 1), ("interleaved", 3), ("zbv", 2)])
def test_stages_send_a_microbatch_of_hidden_states_each_way(schedule: str, hops: int) -> None:
    found = traffic_of(Layout(pp=2), schedule)
    # One hop between two stages of two ranks, three between four, two where a turn stays on its rank; there and back
    # for both ranks together, so that each of them sends as often as there are hops.
    assert found.calls["send"] == found.calls["recv"] == 4 * hops
    assert found.bytes["send"] == found.bytes["recv"] == 4 * hops * HIDDEN
    assert found.bytes["all_reduce"] == 2 * 8


def test_a_layer_is_summed_twice_each_way() -> None:
    found = traffic_of(Layout(tp=2))
    hidden, loss = 4 * (4 * 4 + 2), 4 * 2
    assert found.calls == {"all_reduce": hidden + loss + 1}
    assert found.bytes == {"all_reduce": hidden * HIDDEN + 4 * 3 * 33 * 8 + 8}


def test_what_is_computed_again_is_summed_once_more() -> None:
    again = traffic_of(Layout(tp=2), work=replace(WORK, checkpointing=2))
    assert again.calls["all_reduce"] - traffic_of(Layout(tp=2)).calls["all_reduce"] == 4 * 2


def test_plans_that_cut_nothing_have_another_formula() -> None:
    assert expected_cut_traffic(WORK, ParallelPlan(Layout(dp=2)), BATCHES, 0) is None
