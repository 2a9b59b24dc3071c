"""One step of gpt2-large by ZeRO-3 on two ranks of this machine, compared with one process.

    python -m scripts.large_training --output scripts/results/large_training_cpu.json

It takes some 16 GB of memory and 7 GB of a disk for a few minutes. Both train one step on two rows of 64 tokens in
float32 with AdamW; one process is gone before the ranks begin.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.machine import describe_machine, moment
from scripts.results_file import write_results

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.measure.entry_points import run_job
from pytest_gpt_dist.model.presets import GPT2_LARGE
from pytest_gpt_dist.training.batches import plan_batches
from pytest_gpt_dist.training.entry_points import compute_reference
from pytest_gpt_dist.training.expected_shares import state_by_rank
from pytest_gpt_dist.training.messages import ReferenceJob, TrainingJob, TrainingReport, TrainingWork
from pytest_gpt_dist.training.mode import TrainingMode
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.strategies import Zero3
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel

RANKS, _TOKENS = 2, 64
_RUN_CASE = "pytest_gpt_dist.training.worker:run_case"


@dataclass(frozen=True)
class Results:
    """What came of it: errors against one process, bytes by rank, and how long all of it took."""

    machine: dict[str, str | int]
    began: str
    load: float
    seconds: float
    gradient_error: float | None
    loss_error: float | None
    loss: float
    parameter_bytes: tuple[int, ...]
    optimizer_bytes: tuple[int, ...]
    gathered_bytes: tuple[int | None, ...]
    peak_memory_bytes: tuple[int | None, ...]


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="file of the results")
    output: Path = parser.parse_args().output
    began, load = moment()
    start_s = time.monotonic()
    plan, recipe = Zero3().plan(RANKS), Recipe(steps=1)
    batches = plan_batches(1, 1, None, RANKS)
    config = GPT2_LARGE.config
    samples = SyntheticSamples(0, config.dimensions.vocabulary, _TOKENS, batches.rows)
    work = TrainingWork(TrainedModel(config, None, 0), samples, recipe, "float32")
    settings = ClusterConfig("cpu", preload=TrainingMode.preload)
    with tempfile.TemporaryDirectory() as folder:
        with Cluster(settings) as alone:
            path = str(Path(folder, "gradients.safetensors"))
            (reference,) = alone.group(1).run(compute_reference, ReferenceJob(work, batches, path))
        with Cluster(settings) as cluster:
            job = TrainingJob(Zero3.divider, plan, work, batches, reference, None)
            reports: list[TrainingReport] = cluster.group(RANKS).run(run_job, _RUN_CASE, job)
    problem = next((report.problem for report in reports if report.problem is not None), None)
    held = [report.held for report in reports if report.held is not None]
    if problem is not None or held != state_by_rank(config, plan, "float32", recipe):
        parser.exit(1, f"{problem or 'the state is not what its plan says'}\n")
    write_results(
        output,
        Results(
            machine=describe_machine(),
            began=began,
            load=load,
            seconds=time.monotonic() - start_s,
            gradient_error=max(report.gradient_error or 0.0 for report in reports),
            loss_error=max(report.loss_error or 0.0 for report in reports),
            loss=reports[0].losses[0],
            parameter_bytes=tuple(each.parameters for each in held),
            optimizer_bytes=tuple(each.optimizer for each in held),
            gathered_bytes=tuple(report.gathered for report in reports),
            peak_memory_bytes=tuple(report.peak_memory_bytes for report in reports),
        ),
    )


if __name__ == "__main__":
    main()
