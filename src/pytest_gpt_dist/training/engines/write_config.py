"""Configurations of DeepSpeed's ZeRO stages and of accelerate for the training that a workload describes.

DeepSpeed's WarmupLR stays at ``warmup_min_lr`` for its first two steps and warms up over two steps at least, where a
recipe's rate has risen in its first step: rates during a warm-up differ, and losses with them. The file of accelerate
holds neither batch sizes nor an optimizer, which are for the script that it launches.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.training.batches import plan_batches
from pytest_gpt_dist.training.workload import TrainingWorkload

STAGES = (0, 1, 2, 3)
_MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_BUCKET_ELEMENTS = 500_000_000  # DeepSpeed's default
_FLOAT32_BYTES = 4


def write_configs(
    folder: Path, workload: TrainingWorkload, ranks: int, device: str, offload: bool = False
) -> tuple[Path, ...]:
    """Write ``ds_config_stage{0..3}.json`` and ``accelerate_config.yaml`` of a workload; return their paths.

    UsageError where the libraries cannot say what the workload asks for, before anything is written.
    """
    texts = {
        f"ds_config_stage{stage}.json": json.dumps(
            deepspeed_config(workload, stage, ranks, offload), indent=2
        )
        + "\n"
        for stage in STAGES
    }
    texts["accelerate_config.yaml"] = accelerate_config(workload, ranks, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot write configurations: {error.strerror}") from error
    return tuple(folder / name for name in texts)


def deepspeed_config(
    workload: TrainingWorkload, stage: int, ranks: int, offload: bool = False
) -> dict[str, Any]:
    """Return DeepSpeed's configuration of a ZeRO stage; ``offload`` puts states (stage 3: parameters too) on the CPU.

    UsageError for a dtype, an optimizer or a schedule that DeepSpeed's configuration does not know as ours.
    """
    _check(workload)
    batches = plan_batches(
        workload.micro_batch_size, workload.grad_accumulation, workload.global_batch_size, ranks
    )
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": workload.micro_batch_size,
        "gradient_accumulation_steps": batches.accumulation,
        "train_batch_size": batches.rows,
        "gradient_clipping": workload.clip,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": workload.lr,
                "betas": list(workload.betas),
                "eps": workload.eps,
                "weight_decay": workload.weight_decay,
                "torch_adam": True,
            },
        },
        "fp16": {"enabled": workload.dtype == "float16"},
        "bf16": {"enabled": workload.dtype == "bfloat16"},
        "zero_optimization": _zero(workload, stage, offload),
    }
    if workload.warmup_steps:
        config["scheduler"] = {
            "type": "WarmupLR",
            "params": {
                "warmup_min_lr": workload.warmup_min_lr,
                "warmup_max_lr": workload.lr,
                "warmup_num_steps": workload.warmup_steps,
                "warmup_type": "linear",
            },
        }
    return config


def accelerate_config(workload: TrainingWorkload, ranks: int, device: str) -> str:
    """Return the file that ``accelerate launch --config_file`` reads, for data-parallel ranks of one machine."""
    _check(workload)
    cpu = device == "cpu"
    alone = ranks == 1
    return "".join(
        f"{key}: {value}\n"
        for key, value in {
            "compute_environment": "LOCAL_MACHINE",
            "distributed_type": "'NO'" if alone else "MULTI_CPU" if cpu else "MULTI_GPU",
            "machine_rank": 0,
            "mixed_precision": f"'{_MIXED_PRECISION[workload.dtype]}'",
            "num_machines": 1,
            "num_processes": ranks,
            "use_cpu": str(cpu).lower(),
        }.items()
    )


def _zero(workload: TrainingWorkload, stage: int, offload: bool) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": stage}
    if not stage:
        return zero
    mebibytes = workload.bucket_mb
    bucket = _BUCKET_ELEMENTS if mebibytes is None else mebibytes * 2**20 // _FLOAT32_BYTES
    zero |= {"overlap_comm": True, "contiguous_gradients": True, "reduce_bucket_size": bucket}
    if stage < STAGES[-1]:
        zero |= {"reduce_scatter": True, "allgather_partitions": True, "allgather_bucket_size": bucket}
    else:  # DeepSpeed's defaults, written down so that they can be changed
        zero |= {
            "sub_group_size": 1_000_000_000,
            "stage3_max_live_parameters": 1_000_000_000,
            "stage3_max_reuse_distance": 1_000_000_000,
            "stage3_prefetch_bucket_size": 50_000_000,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        if stage == STAGES[-1]:
            zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return zero


def _check(workload: TrainingWorkload) -> None:
    if workload.dtype not in _MIXED_PRECISION:
        known = ", ".join(_MIXED_PRECISION)
        raise UsageError(f"dtype={workload.dtype}: configurations can be written for {known}")
    if workload.optimizer != "adamw":
        raise UsageError(f"train-optimizer={workload.optimizer}: configurations can be written for adamw")
    if workload.schedule != "constant":
        raise UsageError(
            f"train-schedule={workload.schedule}: configurations can be written for constant, which is WarmupLR"
        )
