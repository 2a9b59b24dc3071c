"""On a rank: parameters, gradients and optimizer state divided by torch's ``fully_shard`` (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor

from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.process_groups import make_subgroups
from pytest_gpt_dist.training.clipping import NormPart
from pytest_gpt_dist.training.data_parallel import WholeModel
from pytest_gpt_dist.training.forward import TrainedForward
from pytest_gpt_dist.training.loss import backpropagate, token_loss
from pytest_gpt_dist.training.microbatches import Microbatch
from pytest_gpt_dist.training.model import blocks_of, build_on_meta, materialize
from pytest_gpt_dist.training.optimizer import make_optimizer
from pytest_gpt_dist.training.shapes import stored_dtype
from pytest_gpt_dist.training.strategy import Division
from pytest_gpt_dist.training.tuning import Prefetch


class FullySharded(WholeModel):
    """A model of which each rank holds a slice of every tensor; blocks are gathered when they are computed.

    The optimizer is made of the slices: made before, it would step tensors that nobody computes with.
    """

    def __init__(self, division: Division) -> None:
        self.data_rank = dist.get_rank()
        self._world_size = dist.get_world_size()
        self._mesh = data_mesh(division.plan, division.device)
        module = build_on_meta(division.model, stored_dtype(division.dtype))
        self.forward = TrainedForward(division, module)
        let_go = division.plan.sharded == "parameters"
        tuning = division.tuning
        formats = MixedPrecisionPolicy(
            param_dtype=torch_dtype(division.dtype),
            reduce_dtype=torch_dtype(tuning.reduce_dtype or stored_dtype(division.dtype)),
        )
        offloads = tuning.cpu_offload != "none"
        home = torch.device("cpu") if offloads else division.device
        offload = CPUOffloadPolicy(pin_memory=division.device.type == "cuda") if offloads else OffloadPolicy()
        how: Any = {"mesh": self._mesh, "mp_policy": formats, "offload_policy": offload}
        units = _groups(self.units(module), tuning.wrap)
        for unit in units:
            fully_shard(unit, reshard_after_forward=let_go, **how)
        prefetch([cast(FSDPModule, unit[0]) for unit in units], tuning.prefetch)
        # The root holds what is needed first and last, which it would be a waste to gather twice.
        fully_shard(self.forward, reshard_after_forward=False, **how)
        materialize(module, division.model, home, division.report)
        _move_buffers(module, division.device)
        self.optimizer = make_optimizer(division.recipe, self.parameters())

    def units(self, module: nn.Module) -> list[nn.Module]:
        """Return the parts of a model, of which each or several are gathered together, beside what is around them."""
        return blocks_of(module)

    def gathered_bytes(self) -> int:
        """Return the bytes of gathered parameters, whose memory FSDP takes and lets go without making new tensors."""
        states = {  # layers that are gathered together share one
            each._get_fsdp_state()._fsdp_param_group
            for each in self.forward.modules()
            if isinstance(each, FSDPModule)
        }
        outputs = (
            output
            for group in states
            if group is not None
            for parameter in group.fsdp_params
            for output in parameter.all_gather_outputs
        )
        return sum(output.untyped_storage().nbytes() for output in outputs)

    @property
    def kind(self) -> str:
        """Return the type of what the root has become, and of its parameters."""
        held = {type(parameter.data).__name__ for parameter in self.parameters()}
        return f"{type(self.forward).__name__} of {', '.join(sorted(held))}"

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        """Sum the gradients of all microbatches; each is reduced at once, so that no rank ever keeps a whole one.

        FSDP divides sums by the number of ranks, of which the definition of the loss knows nothing.
        """
        root = cast(FSDPModule, self.forward)
        parts = []
        for number, each in enumerate(microbatches, 1):
            root.set_requires_all_reduce(
                number == len(microbatches)
            )  # over replicas of the shards, where there are any
            part = token_loss(self.forward(each.tokens), each.labels, labels_in_step)
            backpropagate(part * self._world_size)
            parts.append(part.detach())
        return torch.stack(parts).sum()

    def norm_parts(self) -> list[NormPart]:
        """Return the slices of gradients, which the ranks of a shard group have different ones of."""
        slices = [cast(Tensor, parameter.grad) for parameter in self.parameters()]
        return [NormPart(slices, (self._mesh.get_group(self._mesh.ndim - 1),))]

    def gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every gradient, gathered from all ranks."""
        for name, gradient in super().gradients():
            yield name, gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def prefetch(units: Sequence[FSDPModule], passes: Prefetch) -> None:
    """Have units gather the next one in a pass before they are computed themselves."""
    if passes in ("forward", "both"):
        for unit, following in pairwise(units):
            unit.set_modules_to_forward_prefetch([following])
    if passes in ("backward", "both"):
        for unit, following in pairwise(reversed(units)):
            unit.set_modules_to_backward_prefetch([following])


def _groups(modules: list[nn.Module], wrap: int) -> list[list[nn.Module]]:
    """Return runs of so many modules; none where all are gathered with what is around them."""
    return [modules[start : start + wrap] for start in range(0, len(modules), wrap)] if wrap else []


def _move_buffers(module: nn.Module, device: torch.device) -> None:
    """Have buffers on the device, wherever the parameters are kept."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, buffer.to(device))


def data_mesh(plan: ParallelPlan, device: torch.device) -> DeviceMesh:
    """Return the mesh of data-parallel ranks: shards, or replicas × shards; its groups are kept between cases."""
    assert dist.group.WORLD is not None
    if plan.dp_replicate == 1:
        return DeviceMesh.from_group(dist.group.WORLD, device.type, mesh_dim_names=("dp_shard",))
    ranks = torch.arange(plan.world_size).view(plan.dp_replicate, plan.dp_shard)
    shards = make_subgroups([tuple(row) for row in ranks.tolist()], "dp_shard")
    replicas = make_subgroups([tuple(row) for row in ranks.t().tolist()], "dp_replicate")
    assert shards is not None
    assert replicas is not None
    return DeviceMesh.from_group(
        [replicas, shards], device.type, mesh=ranks, mesh_dim_names=("dp_replicate", "dp_shard")
    )
