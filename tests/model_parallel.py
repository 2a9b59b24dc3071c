"""Strategies that cut the model, as tests name them, and models whose heads, layers and tokens divide by nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.messages import TrainingJob, TrainingWork
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel
from trainings import job_of

_ROTARY: dict[str, Any] = {
    "hidden_size": 40,
    "num_hidden_layers": 4,
    "intermediate_size": 51,
    "max_position_embeddings": 32,
    "vocab_size": 101,
    "attention_bias": True,
}
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "model_type": "gpt2", "n_embd": 40, "n_head": 5, "n_layer": 4, "n_inner": 51, "n_positions": 32,
        "vocab_size": 101,
    },
    # Ten heads in five groups: the one in the middle stands on two ranks of two, others on two of three.
    "llama": _ROTARY | {
        "model_type": "llama", "num_attention_heads": 10, "num_key_value_heads": 5, "head_dim": 4, "mlp_bias": True,
        "tie_word_embeddings": False,
    },
    # Five heads that attend to one, which every rank holds.
    "qwen3": _ROTARY | {
        "model_type": "qwen3", "num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 6,
        "tie_word_embeddings": True,
    },
}  # fmt: skip
MODELS["gpt2-untied"] = MODELS["gpt2"] | {"tie_word_embeddings": False}
MODELS["llama-tied"] = MODELS["llama"] | {"tie_word_embeddings": True}
DIVIDERS = "pytest_gpt_dist.training.pipeline:"


SCHEDULES = {
    "GPipe": "gpipe",
    "OneForwardOneBackward": "1f1b",
    "Interleaved": "interleaved",
    "ZeroBubbleV": "zbv",
}


@dataclass(frozen=True)
class Cut:
    """A layout under one of the dividers."""

    layout: Layout
    divider: str
    name: str = "cut"

    def plan(self, gpus: int) -> ParallelPlan:
        """The layout, whatever the count, in the order of microbatches that the divider stands for."""
        schedule = SCHEDULES.get(self.divider.rpartition(":")[2], "") if self.layout.pp > 1 else ""
        return ParallelPlan(self.layout, schedule=schedule)


def work_of_cut(model: str, dtype: str = "float64", *, layers: int = 4, steps: int = 5) -> TrainingWork:
    """A training of a model with so many layers on rows of unequal length, with clipping."""
    values = MODELS[model]
    config = DecoderConfig.from_hf(
        values | {"n_layer" if "n_layer" in values else "num_hidden_layers": layers}, model
    )
    samples = SyntheticSamples(3, config.dimensions.vocabulary, 12, 8)
    return TrainingWork(TrainedModel(config, None, 1), samples, replace(Recipe(steps=steps), clip=1.0), dtype)


def cut_job(layout: Layout, divider: str, work: TrainingWork, *, accumulation: int = 2) -> TrainingJob:
    """The job of a layout."""
    path = divider if ":" in divider else DIVIDERS + divider
    return job_of(Cut(layout, path), layout.world_size, work, accumulation=accumulation)
