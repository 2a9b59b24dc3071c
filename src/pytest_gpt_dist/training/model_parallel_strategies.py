"""The strategies that cut the model; without torch, which their dividers import."""

from __future__ import annotations

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel.layout import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.strategy import smallest_degree
from pytest_gpt_dist.training.pipeline_stages import GPIPE, INTERLEAVED, ONE_F_ONE_B, ZBV, Schedule

_DIVIDERS = "pytest_gpt_dist.training.pipeline"


class TensorDataHybrid:
    """Replicas whose layers are each cut over the fewest devices that divide the count."""

    name = "tensor_data_hybrid"
    divider = f"{_DIVIDERS}:TensorParallel"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return ``tp`` = the smallest divisor of ``gpus`` above 1, and ``dp`` = the rest."""
        tp = smallest_degree(gpus)
        return ParallelPlan(Layout(dp=gpus // tp, tp=tp))


class _Pipeline:
    """One replica whose layers are lined up over all devices."""

    name: str
    schedule: Schedule

    def plan(self, gpus: int) -> ParallelPlan:
        """Return ``pp = gpus``."""
        return ParallelPlan(Layout(pp=gpus), schedule=self.schedule.name if gpus > 1 else "")


class PipelineGPipe(_Pipeline):
    """All microbatches forward, then all backward."""

    name = "pipeline_gpipe"
    divider = f"{_DIVIDERS}:GPipe"
    schedule = GPIPE


class Pipeline1F1B(_Pipeline):
    """Each microbatch backward as soon as it can be."""

    name = "pipeline_1f1b"
    divider = f"{_DIVIDERS}:OneForwardOneBackward"
    schedule = ONE_F_ONE_B


class PipelineInterleaved(_Pipeline):
    """Two stages on each device."""

    name = "pipeline_interleaved"
    divider = f"{_DIVIDERS}:Interleaved"
    schedule = INTERLEAVED


class PipelineZBV(_Pipeline):
    """Two stages on each device, there and back, with the backward pass in two halves."""

    name = "pipeline_zbv"
    divider = f"{_DIVIDERS}:ZeroBubbleV"
    schedule = ZBV


class FullModelParallel:
    """Layers cut over two devices, lined up over two stages; from 8 devices on in replicas."""

    name = "full_model_parallel"
    divider = f"{_DIVIDERS}:OneForwardOneBackward"

    def plan(self, gpus: int) -> ParallelPlan:
        """Return ``pp2·tp2`` and as many replicas as there are fours."""
        if gpus % 4:
            raise UsageError(
                f"strategy 'full_model_parallel': two stages of two devices take 4, 8, … devices, not {gpus}"
            )
        return ParallelPlan(Layout(gpus // 4, 2, 2), schedule=ONE_F_ONE_B.name)


MODEL_PARALLEL = (
    TensorDataHybrid,
    PipelineGPipe,
    Pipeline1F1B,
    PipelineInterleaved,
    PipelineZBV,
    FullModelParallel,
)
