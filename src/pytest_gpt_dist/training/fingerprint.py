"""What must agree before two trainings may be compared: the machine and the workload."""

from __future__ import annotations

from typing import Any

from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.measure.fingerprint import machine_entries
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.workload import samples_sha256

FINGERPRINT_SCHEMA = 2
_TUNING = (
    "reduce_dtype",
    "activation_offload",
    "cpu_offload",
    "wrap",
    "prefetch",
    "overlap",
    "compression",
    "compression_rank",
    "compression_share",
    "error_feedback",
    "loss_scale",
    "initial_scale_power",
    "loss_scale_window",
    "hysteresis",
    "min_loss_scale",
)


def fingerprint(case: TrainingCase, machine: Machine) -> dict[str, Any]:
    """Return everything besides the code under test that changes a case's numbers, as it is saved."""
    workload = case.workload
    return {
        "schema": FINGERPRINT_SCHEMA,
        **machine_entries(machine, case.gpus),
        "engine": case.engine,
        "layout": case.layout.id,
        "plan": case.plan.id,
        "library": case.plan.library,
        "divider": case.divider,
        "model": case.model_identity,
        "weights": case.weights,
        "dtype": workload.dtype,
        "micro_batch_size": workload.micro_batch_size,
        "grad_accumulation": case.batches.accumulation,
        "rows": case.batches.rows,
        "global_batch_size": workload.global_batch_size,
        "sequence_length": case.work.samples.width,
        "label_tokens": case.label_tokens,
        "samples_sha256": None if workload.samples is None else samples_sha256(workload.samples),
        "optimizer": workload.optimizer,
        "lr": workload.lr,
        "betas": list(workload.betas),
        "eps": workload.eps,
        "weight_decay": workload.weight_decay,
        "schedule": workload.schedule,
        "warmup_steps": workload.warmup_steps,
        "warmup_min_lr": workload.warmup_min_lr,
        "steps": workload.steps,
        "clip": workload.clip,
        "activation_checkpointing": workload.activation_checkpointing,
        "bucket_mb": workload.bucket_mb,
        **{name: getattr(workload, name) for name in _TUNING},
        "seed": workload.seed,
    }
