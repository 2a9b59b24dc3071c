"""Every key of a DeepSpeed configuration that is understood: what it follows from, or why it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One key, by its path with dots.

    Attributes:
        source: the workload's field or the argument that decides it, or ``fixed`` for one value in every training.
        refused: why it is never written; empty where it is.
        stages: ZeRO stages whose configuration has it.
    """

    source: str = ""
    refused: str = ""
    stages: tuple[int, ...] = (0, 1, 2, 3)


_DIVIDED = (1, 2, 3)
_SCALE = "loss scaling starts and grows as DeepSpeed's defaults say"

KEYS: Mapping[str, Key] = {
    "train_micro_batch_size_per_gpu": Key("micro_batch_size"),
    "gradient_accumulation_steps": Key("grad_accumulation"),
    "train_batch_size": Key("global_batch_size"),
    "gradient_clipping": Key("clip"),
    "steps_per_print": Key("fixed"),
    "wall_clock_breakdown": Key("fixed"),
    "optimizer.type": Key("optimizer"),
    "optimizer.params.lr": Key("lr"),
    "optimizer.params.betas": Key("betas"),
    "optimizer.params.eps": Key("eps"),
    "optimizer.params.weight_decay": Key("weight_decay"),
    "optimizer.params.torch_adam": Key("fixed"),
    "scheduler.type": Key("schedule"),
    "scheduler.params.warmup_min_lr": Key("warmup_min_lr"),
    "scheduler.params.warmup_max_lr": Key("lr"),
    "scheduler.params.warmup_num_steps": Key("warmup_steps"),
    "scheduler.params.warmup_type": Key("fixed"),
    "fp16.enabled": Key("dtype"),
    "fp16.loss_scale": Key(refused=_SCALE),
    "fp16.initial_scale_power": Key(refused=_SCALE),
    "fp16.loss_scale_window": Key(refused=_SCALE),
    "fp16.hysteresis": Key(refused=_SCALE),
    "fp16.min_loss_scale": Key(refused=_SCALE),
    "bf16.enabled": Key("dtype"),
    "zero_optimization.stage": Key("stage"),
    "zero_optimization.overlap_comm": Key("fixed", stages=_DIVIDED),
    "zero_optimization.contiguous_gradients": Key("fixed", stages=_DIVIDED),
    "zero_optimization.reduce_scatter": Key("fixed", stages=(1, 2)),
    "zero_optimization.reduce_bucket_size": Key("bucket_mb", stages=_DIVIDED),
    "zero_optimization.allgather_partitions": Key("fixed", stages=(1, 2)),
    "zero_optimization.allgather_bucket_size": Key("bucket_mb", stages=(1, 2)),
    "zero_optimization.sub_group_size": Key("fixed", stages=(3,)),
    "zero_optimization.stage3_max_live_parameters": Key("fixed", stages=(3,)),
    "zero_optimization.stage3_max_reuse_distance": Key("fixed", stages=(3,)),
    "zero_optimization.stage3_prefetch_bucket_size": Key("fixed", stages=(3,)),
    "zero_optimization.stage3_param_persistence_threshold": Key("fixed", stages=(3,)),
    "zero_optimization.stage3_gather_16bit_weights_on_model_save": Key("fixed", stages=(3,)),
    "zero_optimization.offload_optimizer.device": Key("offload", stages=_DIVIDED),
    "zero_optimization.offload_optimizer.pin_memory": Key("offload", stages=_DIVIDED),
    "zero_optimization.offload_param.device": Key("offload", stages=(3,)),
    "zero_optimization.offload_param.pin_memory": Key("offload", stages=(3,)),
}
