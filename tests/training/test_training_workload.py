"""Trainings as options and tests ask for them, and what stands in ids."""

from typing import Any

import pytest

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.workload import TrainingWorkload, asked_workload

USUAL = TrainingWorkload.of(Options(), "cpu")


def test_the_usual_training_has_no_label() -> None:
    assert USUAL.label("cpu") == ""
    assert USUAL.model == "qwen3-tiny"


def test_what_differs_is_in_the_label() -> None:
    options = Options(model="gpt2", train_micro_batch_size=2, train_sequence_length=16, train_lr=0.5)
    assert TrainingWorkload.of(options, "cpu").label("cpu") == "gpt2.b2.s16.lr0.5"


def test_arguments_win_over_options() -> None:
    found = asked_workload(
        {"lr": 0.25, "clip": None, "betas": [0.5, 0.75], "activation_checkpointing": "full"}, USUAL
    )
    assert (found.lr, found.betas, found.activation_checkpointing) == (0.25, (0.5, 0.75), 1)
    assert found.recipe.clip is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lr": "much"}, "lr='much': expected a number"),
        ({"optimizer": "adam"}, "optimizer='adam': expected one of adamw, sgd"),
        ({"micro_batch_size": 0}, "micro_batch_size=0: expected at least 1"),
        ({"betas": 0.9}, "betas='0.9': expected two numbers"),
        ({"samples": [1, 2]}, r"samples=\[1, 2\]: expected a list of lists"),
        ({"activation_checkpointing": -1}, "activation_checkpointing='-1': expected off, full, or a number"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked_workload(arguments, USUAL)


def test_learning_rates_rise_and_fall() -> None:
    recipe = Recipe(lr=1.0, schedule="linear", warmup_steps=2, steps=6)
    assert [recipe.lr_at(step) for step in range(7)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.25]
    assert Recipe(lr=1.0, schedule="cosine", steps=3).lr_at(2) == pytest.approx(0.25)
    assert Recipe(lr=1.0, warmup_steps=2, warmup_min_lr=0.5).lr_at(0) == 0.75


def test_quantised_weights_are_refused_in_one_line() -> None:
    shape = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 8, "vocab_size": 9}
    with pytest.raises(UsageError, match="quantization_config") as refused:
        DecoderConfig.from_hf(shape | {"quantization_config": {"load_in_4bit": True}}, "small")
    assert len(str(refused.value).splitlines()) == 1
