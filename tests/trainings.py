"""Small trainings that tests run on real ranks: models of each family, their jobs, and their references."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster import Cluster
from pytest_gpt_dist.measure.entry_points import run_job
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.training.batches import plan_batches
from pytest_gpt_dist.training.entry_points import compute_reference
from pytest_gpt_dist.training.messages import (
    ReferenceJob,
    TrainingJob,
    TrainingReference,
    TrainingReport,
    TrainingWork,
)
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.strategies import WHOLE
from pytest_gpt_dist.training.strategy import TrainingStrategy
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel

SIZES: dict[str, dict[str, Any]] = {
    # Five heads and widths that no count of ranks divides.
    "gpt2": {
        "model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 3, "n_positions": 32, "vocab_size": 101,
    },
    "llama": {
        "model_type": "llama", "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 3, "intermediate_size": 50, "max_position_embeddings": 32, "vocab_size": 101,
        "tie_word_embeddings": False,
    },
    "qwen3": {
        "model_type": "qwen3", "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 6, "num_hidden_layers": 3, "intermediate_size": 50, "max_position_embeddings": 32,
        "vocab_size": 101, "tie_word_embeddings": True,
    },
}  # fmt: skip
RUN_CASE = "pytest_gpt_dist.training.worker:run_case"


def work_of(family: str, dtype: str = "float64", *, rows: int = 8, **recipe: Any) -> TrainingWork:
    """What is trained: a small model of a family on rows of unequal length."""
    config = DecoderConfig.from_hf(SIZES[family], family)
    return TrainingWork(
        TrainedModel(config, None, 1),
        SyntheticSamples(3, config.dimensions.vocabulary, 12, rows),
        replace(Recipe(steps=6), **recipe),
        dtype,
    )


def job_of(
    strategy: TrainingStrategy,
    gpus: int,
    work: TrainingWork,
    *,
    micro: int = 2,
    accumulation: int = 2,
    divider: str | None = None,
) -> TrainingJob:
    """The job of a strategy, not yet compared with anything."""
    plan = strategy.plan(gpus)
    batches = plan_batches(micro, accumulation, None, plan.layout.dp)
    assert isinstance(work.samples, SyntheticSamples)
    work = replace(work, samples=replace(work.samples, period=batches.rows))
    path = divider or (strategy.divider if gpus > 1 else WHOLE)
    return TrainingJob(path, plan, work, batches, None, None)


class Trainings:
    """Runs jobs on one cluster; each is compared with a reference that is computed once."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._references: dict[tuple[TrainingWork, int, int], TrainingReference] = {}

    def reference(self, job: TrainingJob) -> TrainingReference:
        """What one process comes to."""
        key = (job.work, job.batches.rows, job.batches.micro)
        if key not in self._references:
            path = self._folder / f"gradients-{len(self._references)}.safetensors"
            (self._references[key],) = self._cluster.group(1).run(
                compute_reference, ReferenceJob(job.work, job.batches, str(path))
            )
        return self._references[key]

    def run(self, job: TrainingJob) -> list[TrainingReport]:
        """Every rank's report."""
        return self.run_as_is(replace(job, reference=self.reference(job)))

    def run_as_is(self, job: TrainingJob) -> list[TrainingReport]:
        """The same of a job that has its reference."""
        reports: list[TrainingReport] = self._cluster.group(job.plan.world_size).run(run_job, RUN_CASE, job)
        return reports

    def problem(self, job: TrainingJob) -> str | None:
        """Why the case may have no numbers; the same on every rank."""
        return self.run(job)[0].problem

    def write_checkpoint(self, folder: str, values: dict[str, Any]) -> None:
        """Have transformers write a model in float64."""
        self._cluster.group(1).run(_write_checkpoint, folder, values)


def _write_checkpoint(folder: str, values: dict[str, Any]) -> None:
    from checkpoints import write_checkpoint  # noqa: PLC0415  it imports torch

    write_checkpoint(folder, values, "float64")
