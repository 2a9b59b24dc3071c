"""How the library that divides a training works, and which strategies have which of its ways; without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.strategies import FSDP2, ZERO_OPTIMIZER

CpuOffload = Literal["none", "optimizer", "parameters", "both"]
Prefetch = Literal["none", "forward", "backward", "both"]
Compression = Literal["none", "fp16", "powersgd", "topk"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """Ways of working that change memory and time, and with ``compression`` also gradients.

    Attributes:
        reduce_dtype: format in which gradients are summed over ranks; None for that of the parameters.
        activation_offload: activations are kept in the host's memory for the backward pass.
        cpu_offload: what of the state is kept in the host's memory between uses.
        wrap: number of layers that are gathered together; 0 for the whole model at once.
        prefetch: in which passes the next layers are gathered before they are computed.
        overlap: gradients are reduced while the backward pass goes on, rather than after it.
        compression: what is sent instead of gradients.
        compression_rank: rank of the matrices that PowerSGD sends.
        compression_share: share of the gradients that top-K sends.
        error_feedback: what was not sent is added to the next step's gradients.
    """

    reduce_dtype: str | None = None
    activation_offload: bool = False
    cpu_offload: CpuOffload = "none"
    wrap: int = 1
    prefetch: Prefetch = "none"
    overlap: bool = True
    compression: Compression = "none"
    compression_rank: int = 2
    compression_share: float = 0.01
    error_feedback: bool = True

    @property
    def exact(self) -> Tuning:
        """Return the same without what is inexact by intent."""
        return replace(self, compression="none", reduce_dtype=None)


PLAIN = Tuning()
"""What libraries do by themselves."""


def lacking(tuning: Tuning, plan: ParallelPlan, dtype: str, bucket_mb: int | None) -> str | None:
    """Return in a line what a plan's library cannot do of what was asked for, or None.

    A single device has nothing to divide or to send, so that it lacks nothing.
    """
    if plan.world_size == 1:
        return None
    replicas = plan.layout.dp == plan.world_size and plan.library in ("", ZERO_OPTIMIZER)
    of_fsdp = {
        "wrap": tuning.wrap != 1,
        "prefetch": tuning.prefetch != "none",
        "cpu-offload": tuning.cpu_offload != "none",
        "reduce-dtype": tuning.reduce_dtype is not None,
    }
    of_ddp = {
        "compression": tuning.compression != "none",
        "overlap": not tuning.overlap,
        "bucket-mb": bucket_mb is not None,
    }
    for names, has, who in ((of_fsdp, plan.library == FSDP2, "fully_shard's"), (of_ddp, replicas, "DDP's")):
        for name, is_asked in names.items():
            if is_asked and not has:
                return f"--gpt-train-{name} is {who}, which {plan} does without"
    if tuning.cpu_offload in ("optimizer", "parameters"):
        return f"--gpt-train-cpu-offload={tuning.cpu_offload}: fully_shard offloads all of the state or none; take both"
    if tuning.reduce_dtype not in (None, "float32", dtype) or (tuning.reduce_dtype and dtype == "float64"):
        return f"--gpt-train-reduce-dtype={tuning.reduce_dtype}: in {dtype} it is float32 or the same"
    return None
