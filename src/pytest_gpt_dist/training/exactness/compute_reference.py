"""On a rank: what one process comes to, alone, on the rows of the whole world."""

from __future__ import annotations

from dataclasses import replace

import torch
from safetensors.torch import save_file
from torch import Tensor

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import release_memory
from pytest_gpt_dist.parallel.layout import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.clipping import NormPart, total_norm
from pytest_gpt_dist.training.data_parallel import WholeModel
from pytest_gpt_dist.training.exactness.gradient_check import GradientCheck
from pytest_gpt_dist.training.exactness.tolerance import floor_of, loss_error, reference_dtype
from pytest_gpt_dist.training.messages import ReferenceJob, TrainingReference
from pytest_gpt_dist.training.step import Training
from pytest_gpt_dist.training.strategy import Division


def compute_reference(job: ReferenceJob) -> TrainingReference:
    """Train by one process, and in 16 bits once more in that format; on a group of one rank."""
    try:
        return _compute(job)
    finally:
        release_memory(torch.device(this_rank().device))


def _compute(job: ReferenceJob) -> TrainingReference:
    work = job.work
    recipe = replace(work.recipe, scaling=None)
    exact = replace(job, work=replace(work, dtype=reference_dtype(work.dtype), recipe=recipe))
    losses, norms, trainee = _train(exact, save_to=job.path)
    reference = TrainingReference(job.path, losses, norms)
    if work.dtype == "float64":
        return _with_parameters(reference, trainee)
    if work.dtype == exact.work.dtype:
        return reference
    del trainee
    check = GradientCheck(reference.path, norms[0], floor_of(work.dtype))
    own_losses, *_ = _train(job, check=check)
    worst = max(map(loss_error, own_losses, losses))
    return replace(reference, gradient_error=check.errors().worst[1], loss_error=worst)


def _train(
    job: ReferenceJob, *, save_to: str | None = None, check: GradientCheck | None = None
) -> tuple[tuple[float, ...], tuple[float, ...], WholeModel]:
    """Return losses and norms of all steps, and the model after them."""
    work, device = job.work, torch.device(this_rank().device)
    # Every rank's microbatches, one after the other.
    batches = BatchPlan(job.batches.micro, job.batches.accumulation * job.batches.data_ranks, 1)
    division = Division(
        work.model,
        ParallelPlan(Layout()),
        work.recipe,
        work.dtype,
        device,
        report=lambda done, total: report_progress("loading the reference", done, total),
    )
    trainee = WholeModel(division)
    training = Training(trainee, work.samples, batches, work.recipe, device)
    losses, norms = [], []

    def observe() -> None:
        if check is not None:
            check.compare(trainee.gradients())
        if save_to is not None:
            save_file({name: _whole(gradient) for name, gradient in trainee.gradients()}, save_to)

    for number in range(work.recipe.steps):
        report_progress("training the reference", number + 1, work.recipe.steps)
        training.load()
        outcome = training.step(observe if number == 0 else None)
        losses.append(outcome.loss_part.item())
        norms.append(outcome.norm.item())
    return tuple(losses), tuple(norms), trainee


def _with_parameters(reference: TrainingReference, trainee: WholeModel) -> TrainingReference:
    path = f"{reference.path}.parameters"
    with torch.no_grad():
        save_file({name: _whole(each) for name, each in trainee.forward.module.named_parameters()}, path)
        norm = total_norm([NormPart(trainee.parameters())], trainee.parameters()[0].device)
    return replace(reference, parameters_path=path, parameters_norm=norm.item())


def _whole(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
