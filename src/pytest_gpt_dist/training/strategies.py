"""The strategies that divide nothing but data and state; without torch, which their dividers import."""

from __future__ import annotations

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel.layout import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan, Sharded

ZERO_OPTIMIZER = "zero_redundancy_optimizer"
FSDP2 = "fsdp2"
_HERE = "pytest_gpt_dist.training"
WHOLE = f"{_HERE}.data_parallel:WholeModel"
"""Divider of a single device, whatever the strategy."""


class Ddp:
    """A whole replica on each device."""

    name = "ddp"
    divider = f"{_HERE}.data_parallel:DataParallel"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return as many replicas as devices."""
        return ParallelPlan(Layout(dp=gpus))


class Zero1:
    """Replicas that divide the optimizer's state."""

    name = "zero1"
    divider = f"{_HERE}.data_parallel:DividedOptimizer"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return a plan in which every device keeps a share of the optimizer's state."""
        return _divided(gpus, "optimizer", ZERO_OPTIMIZER)


class Zero2:
    """Gradients and optimizer state divided; parameters are whole from the forward pass to the backward pass."""

    name = "zero2"
    divider = f"{_HERE}.fully_sharded:FullySharded"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return a plan in which every device keeps a share of gradients and optimizer state."""
        return _divided(gpus, "gradients", FSDP2)


class Zero3:
    """Everything divided; blocks are gathered when they are computed. The same as FSDP."""

    name = "zero3"
    divider = f"{_HERE}.fully_sharded:FullySharded"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return a plan in which every device keeps a share of everything."""
        return _divided(gpus, "parameters", FSDP2)


class Hsdp:
    """Replicas of groups that divide everything among their members; two groups."""

    name = "hsdp"
    divider = f"{_HERE}.fully_sharded:FullySharded"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return two groups of half of the devices each."""
        if gpus < 4 or gpus % 2:
            raise UsageError(f"strategy 'hsdp': two groups of at least two take 4, 6, … devices, not {gpus}")
        return ParallelPlan(Layout(dp=gpus), gpus // 2, "parameters", FSDP2)


def _divided(gpus: int, state: Sharded, library: str) -> ParallelPlan:
    """Return the plan of as many shards as devices; on a single one there is nothing to divide."""
    layout = Layout(dp=gpus)
    return ParallelPlan(layout, gpus, state, library) if gpus > 1 else ParallelPlan(layout)
