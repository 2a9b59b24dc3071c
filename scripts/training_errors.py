"""How far every strategy of training is from one process in float64: gradients, losses, parameters after 20 steps.

    python -m scripts.training_errors --output scripts/results/training_errors_cpu.json
    python -m scripts.training_errors --table scripts/results/training_errors_cpu.json

Each strategy trains the certificates of GPT-2 (five heads), Llama and Qwen3 with eight layers, on ranks that may
share cores: rounding does not depend on them. An interrupted run is continued.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.machine import describe_machine
from scripts.results_file import continued, results_parser, write_results
from tabulate import tabulate

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.entry_points import run_job
from pytest_gpt_dist.model.config import Architecture
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.training.exactness.certificate import LAYERS, certificate_work
from pytest_gpt_dist.training.exactness.reference_cache import ReferenceCache
from pytest_gpt_dist.training.messages import TrainingJob, TrainingReport
from pytest_gpt_dist.training.mode import TrainingMode
from pytest_gpt_dist.training.model_parallel_strategies import TensorDataHybrid
from pytest_gpt_dist.training.strategies import WHOLE
from pytest_gpt_dist.training.strategy import TrainingStrategy

FAMILIES: tuple[Architecture, ...] = ("gpt2", "llama", "qwen3")
_COUNTS = (1, 2, 4)
_ON_THREE = ("ddp", "zero1", "zero2", "zero3", "tensor_data_hybrid", "pipeline_gpipe", "pipeline_1f1b")
_RUN_CASE = "pytest_gpt_dist.training.worker:run_case"


@dataclass(frozen=True)
class Subject:
    """A strategy on a number of ranks."""

    strategy: str
    ranks: int
    plan: ParallelPlan
    divider: str


@dataclass(frozen=True)
class Errors:
    """How far a strategy is from one process with a model; ``refused`` says why it cannot train it."""

    strategy: str
    ranks: int
    plan: str
    model: str
    gradient: float | None = None
    all_gradients: float | None = None
    loss: float | None = None
    parameter: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Setting:
    """What was asked for."""

    layers: int = LAYERS
    dtype: str = "float64"
    steps: int = 20


@dataclass(frozen=True)
class Results:
    """What was found where."""

    setting: Setting
    machine: dict[str, str | int]
    errors: tuple[Errors, ...] = ()


def subjects() -> Iterator[Subject]:
    """Yield every strategy at each count that it has a plan for, and cuts that no strategy's default makes."""
    registry = Registry()
    builtin(registry)
    for ranks in (*_COUNTS, 3, 8):
        for name in registry.training_strategies:
            if (ranks == 1 and name != "ddp") or (ranks == 3 and name not in _ON_THREE):
                continue
            if ranks == 8 and name != "full_model_parallel":
                continue
            strategy: TrainingStrategy = registry.training_strategy(name)
            try:
                plan = strategy.plan(ranks)
            except UsageError:
                continue
            yield Subject(name, ranks, plan, strategy.divider if ranks > 1 else WHOLE)
    yield Subject("tp4", 4, ParallelPlan(Layout(tp=4)), TensorDataHybrid.divider)


def measure(file: Path) -> Results:
    """Train what the file does not have yet, and write it after each model."""
    results = continued(file, Results(Setting(), describe_machine()), read_results)
    known = {(each.strategy, each.ranks, each.model) for each in results.errors}
    config = ClusterConfig("cpu", pin_cpus=False, preload=TrainingMode.preload)
    with tempfile.TemporaryDirectory() as folder, Cluster(config) as cluster:
        references = ReferenceCache(lambda: Path(folder))
        for subject in subjects():
            for family in FAMILIES:
                if (subject.strategy, subject.ranks, family) in known:
                    continue
                found = _errors(subject, family, cluster, references)
                print(found, file=sys.stderr, flush=True)
                results = replace(results, errors=(*results.errors, found))
                write_results(file, results)
    return results


def _errors(subject: Subject, family: Architecture, cluster: Cluster, references: ReferenceCache) -> Errors:
    work, batches = certificate_work(family, subject.plan.layout, LAYERS)
    reference = references.get(work, batches, lambda: cluster.group(1), lambda *_: None)
    job = TrainingJob(subject.divider, subject.plan, work, batches, reference, None)
    named = Errors(subject.strategy, subject.ranks, str(subject.plan), family)
    try:
        reports: list[TrainingReport] = cluster.group(subject.ranks).run(run_job, _RUN_CASE, job)
    except RankGroupError as error:
        return replace(named, refused=str(error))
    problem = next((report.problem for report in reports if report.problem), None)
    if problem is not None:
        sys.exit(f"{subject.strategy} on {subject.ranks} ranks, {family}: {problem}")
    return replace(
        named,
        gradient=max(report.gradient_error or 0.0 for report in reports),
        all_gradients=max(report.gradient_total_error or 0.0 for report in reports),
        loss=max(report.loss_error or 0.0 for report in reports),
        parameter=max(report.parameter_error or 0.0 for report in reports),
    )


def read_results(file: Path) -> Results:
    """Return what a file has."""
    saved = json.loads(file.read_text())
    return Results(
        Setting(**saved["setting"]), saved["machine"], tuple(Errors(**each) for each in saved["errors"])
    )


def table(results: Results) -> str:
    """Return the largest errors of each strategy on each count: gradients, losses, parameters; by model."""
    rows: dict[tuple[str, int, str], dict[str, str]] = {}
    for each in results.errors:
        layout = each.plan.partition(" ")[0]
        rows.setdefault((each.strategy, each.ranks, layout), {})[each.model] = _cell(each)
    order = sorted(rows, key=lambda key: key[1])
    return tabulate(
        [
            [f"`{name}`", ranks, plan, *map(rows[name, ranks, plan].get, FAMILIES)]
            for name, ranks, plan in order
        ],
        headers=["strategy", "ranks", "layout", "GPT-2", "Llama", "Qwen3"],
        tablefmt="github",
        disable_numparse=True,
    )


def _cell(found: Errors) -> str:
    if found.refused is not None:
        return found.refused
    return " · ".join(
        f"{each:.0e}" for each in (found.gradient, found.loss, found.parameter) if each is not None
    )


def main() -> None:
    """Train or print."""
    arguments = results_parser(__doc__).parse_args()
    if arguments.output is None and arguments.table is None:
        sys.exit("give --output or --table")
    print(table(measure(arguments.output) if arguments.output else read_results(arguments.table)))


if __name__ == "__main__":
    main()
