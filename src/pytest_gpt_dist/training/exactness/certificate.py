"""The certificate of a strategy: a tiny model in float64, in which nothing that is wrong can pass for rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_gpt_dist.model.config import Architecture, DecoderConfig
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.training.batches import BatchPlan, plan_batches
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel
from pytest_gpt_dist.training.tuning import Tuning

_STEPS = 20
_MICRO = 2
LAYERS, _FEW_LAYERS = 8, 3
"""Of pipelines, whose stages and their halves each need some; of other strategies, which treat all layers alike."""
_ROTARY = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 50,
    "max_position_embeddings": 32,
    "vocab_size": 101,
    "tie_word_embeddings": True,
}
_TINY: dict[Architecture, dict[str, object]] = {
    "gpt2": {
        "model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": LAYERS, "n_positions": 32, "vocab_size": 101,
    },
    "llama": {"model_type": "llama", **_ROTARY},
    "qwen3": {"model_type": "qwen3", **_ROTARY},
}  # fmt: skip


def certificate_case(case: TrainingCase) -> TrainingCase:
    """Return a strategy's case on as many devices with a tiny model of the same family."""
    layers = LAYERS if case.plan.layout.pp > 1 else _FEW_LAYERS
    work, batches = certificate_work(case.work.model.config.architecture, case.plan.layout, layers)
    asked = case.work
    work = replace(
        work, checkpointing=asked.checkpointing, bucket_mb=asked.bucket_mb, tuning=asked.tuning.exact
    )
    return replace(case, work=work, batches=batches)


@dataclass(frozen=True)
class Certified:
    """What a certificate is of: a strategy that divides along the same axes on any number of devices."""

    divider: str
    sharded: str
    library: str
    schedule: str
    axes: tuple[bool, bool, bool, bool]
    architecture: Architecture
    checkpointing: int
    bucket_mb: int | None
    tuning: Tuning


def certified(case: TrainingCase) -> Certified:
    """Return what a certificate's case certifies; the axes are tensor, pipeline, replicas and shards."""
    plan, work = case.plan, case.work
    degrees = (plan.layout.tp, plan.layout.pp, plan.dp_replicate, plan.dp_shard)
    tensor, pipeline, replicas, shards = (degree > 1 for degree in degrees)
    return Certified(
        case.divider,
        plan.sharded,
        plan.library,
        plan.schedule,
        (tensor, pipeline, replicas, shards),
        work.model.config.architecture,
        work.checkpointing,
        work.bucket_mb,
        work.tuning,
    )


def certificate_work(
    architecture: Architecture, layout: Layout, layers: int
) -> tuple[TrainingWork, BatchPlan]:
    """Return what is trained, and its batches: rows of unequal lengths; gradients are accumulated and clipped."""
    shape = _TINY[architecture]
    count = "n_layer" if "n_layer" in shape else "num_hidden_layers"
    config = DecoderConfig.from_hf({**shape, count: layers}, "certificate")
    batches = plan_batches(_MICRO, max(2, layout.pp), None, layout.dp)
    work = TrainingWork(
        TrainedModel(config, None, seed=1),
        SyntheticSamples(1, config.dimensions.vocabulary, 12, batches.rows),
        Recipe(steps=_STEPS, clip=1.0),
        "float64",
    )
    return work, batches
