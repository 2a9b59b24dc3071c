"""The certificate of a strategy: a tiny model in float64, in which nothing that is wrong can pass for rounding."""

from __future__ import annotations

from dataclasses import replace

from pytest_gpt_dist.model.config import Architecture, DecoderConfig
from pytest_gpt_dist.training.batches import plan_batches
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel

_STEPS = 20
_MICRO = 2
_LAYERS, _FEW_LAYERS = 8, 3
"""Of pipelines, whose stages and their halves each need some; of other strategies, which treat all layers alike."""
_ROTARY = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "num_hidden_layers": _LAYERS,
    "intermediate_size": 50,
    "max_position_embeddings": 32,
    "vocab_size": 101,
    "tie_word_embeddings": True,
}
_TINY: dict[Architecture, dict[str, object]] = {
    "gpt2": {
        "model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": _LAYERS, "n_positions": 32, "vocab_size": 101,
    },
    "llama": {"model_type": "llama", **_ROTARY},
    "qwen3": {"model_type": "qwen3", **_ROTARY},
}  # fmt: skip


def certificate_case(case: TrainingCase) -> TrainingCase:
    """Return a strategy's case on as many devices with a tiny model of the same family.

    Its rows have unequal lengths, gradients are accumulated and clipped, and activations are treated as in the case.
    """
    layers = _LAYERS if case.plan.layout.pp > 1 else _FEW_LAYERS
    shape = _TINY[case.work.model.config.architecture]
    count = "n_layer" if "n_layer" in shape else "num_hidden_layers"
    config = DecoderConfig.from_hf({**shape, count: layers}, "certificate")
    batches = plan_batches(_MICRO, max(2, case.plan.layout.pp), None, case.plan.layout.dp)
    work = TrainingWork(
        TrainedModel(config, None, seed=1),
        SyntheticSamples(1, config.dimensions.vocabulary, 12, batches.rows),
        Recipe(steps=_STEPS, clip=1.0),
        "float64",
        case.work.checkpointing,
        case.work.bucket_mb,
    )
    return replace(case, work=work, batches=batches)
