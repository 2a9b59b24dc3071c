"""The committed step of a large model, held against its plan."""

import json
from pathlib import Path

from pytest_gpt_dist.model.presets import GPT2_LARGE
from pytest_gpt_dist.training.expected_shares import state_by_rank
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.strategies import Zero3

RESULTS = Path(__file__).parents[2] / "scripts/results/large_training_cpu.json"


def test_each_rank_held_what_its_plan_says() -> None:
    found = json.loads(RESULTS.read_text())
    planned = state_by_rank(GPT2_LARGE.config, Zero3().plan(2), "float32", Recipe())
    assert planned is not None
    assert found["parameter_bytes"] == [each.parameters for each in planned]
    assert found["optimizer_bytes"] == [each.optimizer for each in planned]
    assert found["gradient_error"] < 1e-4
