"""The metrics of training, each in one entry, and the words that reports have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gpt_dist.parallel import parameter_count
from pytest_gpt_dist.results.checked import count, name
from pytest_gpt_dist.results.metrics import OUTCOME, RESOURCES, SCALING, WHAT_RAN, Gate, Metric
from pytest_gpt_dist.results.result_format import Limit, ResultFormat, Workload

_MS = 1e3

_WORKLOAD = (
    Metric(
        name="plan",
        meaning="the layout, and what of the state data-parallel ranks divide, in how many shards",
        value=lambda run: run.case.plan.id,
    ),
    Metric(
        name="library",
        meaning="what divides the state; empty where nothing is divided",
        value=lambda run: run.case.plan.library,
    ),
    Metric(
        name="module",
        meaning="type of the module that was trained, by rank",
        value=lambda run: [report.kind for report in run.reports],
    ),
    Metric(
        name="attention",
        meaning="the attention kernel that was asked for",
        value=lambda run: run.machine.attention,
    ),
    Metric(
        name="model",
        meaning="preset or hub name; a folder's last part, with the beginning of its content's hash",
        value=lambda run: run.case.model_name,
    ),
    Metric(
        name="parameters",
        unit="parameters",
        meaning="of the whole model, a tied head counted once",
        value=lambda run: parameter_count(run.case.work.model.config.dimensions),
    ),
    Metric(name="weights", meaning="random or pretrained", value=lambda run: run.case.weights),
    Metric(name="dtype", meaning="number format of the training", value=lambda run: run.case.dtype),
    Metric(
        name="micro_batch_size",
        unit="rows",
        meaning="rows of a forward pass on each device",
        value=lambda run: run.case.batches.micro,
    ),
    Metric(
        name="grad_accumulation",
        unit="microbatches",
        meaning="of a step on each data-parallel rank",
        value=lambda run: run.case.batches.accumulation,
    ),
    Metric(
        name="global_batch_size",
        unit="rows",
        meaning="of a step in the whole world",
        value=lambda run: run.case.batches.rows,
    ),
    Metric(
        name="sequence_length",
        unit="tokens",
        meaning="of a row, padding included",
        value=lambda run: run.case.work.samples.width,
    ),
    Metric(
        name="label_tokens",
        unit="tokens",
        meaning="of a step in the whole world: every token of a row but its first is one; padding is none",
        value=lambda run: run.case.label_tokens,
    ),
    Metric(name="optimizer", meaning="adamw or sgd", value=lambda run: run.case.workload.optimizer),
    Metric(name="lr", meaning="highest learning rate", value=lambda run: run.case.workload.lr),
    Metric(
        name="clip",
        meaning="largest norm of the gradient; null for no clipping",
        value=lambda run: run.case.work.recipe.clip,
    ),
    Metric(
        name="activation_checkpointing",
        meaning="every how many layers the backward pass computes again; 0 for none",
        value=lambda run: run.case.work.checkpointing,
    ),
    Metric(
        name="seed",
        meaning="of random weights and of synthetic rows",
        value=lambda run: run.case.workload.seed,
    ),
)
_SPEED = (
    Metric(
        name="tokens_per_s",
        unit="tokens/s",
        kind="figure",
        better="higher",
        meaning="label tokens trained on by the whole world; pytest-benchmark's OPS",
    ),
    Metric(
        name="tokens_per_s_per_gpu",
        unit="tokens/s",
        kind="figure",
        better="higher",
        meaning="the same for each device",
    ),
    Metric(
        name="samples_per_s",
        unit="rows/s",
        kind="figure",
        better="higher",
        meaning="rows trained on by the whole world",
        value=lambda run: run.samples_per_s,
    ),
    Metric(
        name="step_s",
        unit="s",
        kind="latency",
        better="lower",
        label="step",
        scale=_MS,
        summary=True,
        gate=Gate(option="step", key="step_p95_s", label="step p95", statistic="p95"),
        meaning="a whole step, as long as its slowest rank: all microbatches, reduction, clipping, optimizer;"
        " mean, p50, p95 and p99 over rounds",
        value=lambda run: None if run.step_s is None else run.step_s.as_dict(),
    ),
    Metric(
        name="step_s_by_rank",
        unit="s",
        better="lower",
        meaning="each rank's own seconds of a step",
        value=lambda run: run.step_s_by_rank,
    ),
    Metric(
        name="imbalance",
        unit="share",
        better="lower",
        meaning="of a step, in which ranks wait for the slowest one at its end, on the mean",
        value=lambda run: run.imbalance,
    ),
)
_HARDWARE = (
    Metric(
        name="mfu",
        unit="share",
        kind="figure",
        better="higher",
        meaning="operations that the model takes for tokens that are no padding ÷ step time ÷ what the devices can"
        " compute; every pair of tokens counted, recomputation never",
        value=lambda run: run.share_of_peak(run.flops.model),
    ),
    Metric(
        name="mfu_causal",
        unit="share",
        kind="figure",
        better="higher",
        meaning="the same with the causal half of the pairs of tokens",
        value=lambda run: run.share_of_peak(run.flops.causal),
    ),
    Metric(
        name="hfu",
        unit="share",
        kind="figure",
        better="higher",
        meaning="operations that are really computed, padding and recomputation included ÷ the same",
        value=lambda run: run.share_of_peak(run.flops.hardware),
    ),
    Metric(
        name="train_s",
        unit="s",
        better="lower",
        meaning="of a training of --gpt-train-tokens label tokens at this speed",
        value=lambda run: run.train_s,
    ),
    Metric(
        name="train_cost",
        unit="price",
        better="lower",
        meaning="of all devices for that time, at --gpt-price for a device's hour",
        value=lambda run: run.train_cost,
    ),
    Metric(
        name="flops_per_step",
        unit="operations",
        meaning="the numerator of mfu",
        value=lambda run: run.flops.model,
    ),
)
_STATE = (
    Metric(
        name="memory_bytes",
        unit="bytes",
        better="lower",
        meaning="by rank: parameters and optimizer state held, gradients before they are let go, most of whole"
        " parameters gathered at once, the rest of the peak of steps after the checks, and that peak",
        value=lambda run: run.memory_bytes,
    ),
    Metric(
        name="collectives_per_step",
        unit="operations",
        meaning="what a rank takes part in, by kind and rank",
        value=lambda run: run.collectives_per_step,
    ),
    Metric(
        name="bytes_communicated",
        unit="bytes",
        better="lower",
        meaning="of the whole buffers of a step's collectives, by kind and rank",
        value=lambda run: run.bytes_communicated,
    ),
    Metric(
        name="compression_ratio",
        unit="ratio",
        better="higher",
        meaning="bytes that whole gradients would take ÷ bytes sent; null where nothing is compressed",
        value=lambda run: run.compression_ratio,
    ),
    Metric(
        name="skipped_steps",
        unit="steps",
        better="lower",
        meaning="attempts at steps whose gradients overflowed in float16, made again with a smaller loss scale",
        value=lambda run: max(report.skipped_steps for report in run.reports),
    ),
    Metric(
        name="unproven",
        meaning="what could not be compared with what it should be: gradients where no process holds the model, state"
        " and traffic where no closed form is known; empty where everything was",
        value=lambda run: run.unproven,
    ),
    Metric(
        name="energy_j_per_token",
        unit="J/token",
        kind="figure",
        better="lower",
        meaning="energy of the devices in the timed rounds, for each label token",
        value=lambda run: run.energy_j_per_token,
    ),
)
_EXACTNESS = (
    Metric(
        name="max_gradient_error",
        unit="ratio",
        kind="figure",
        better="lower",
        meaning="of the first step's gradients the largest relative distance of a tensor from one process's",
        value=lambda run: run.worst("gradient_error"),
    ),
    Metric(
        name="max_loss_error",
        unit="ratio",
        better="lower",
        meaning="of the checked steps the largest relative distance of a loss from one process's",
        value=lambda run: run.worst("loss_error"),
    ),
    Metric(
        name="loss_gap",
        unit="ratio",
        better="lower",
        meaning="of the last checked step how far the loss is above one process's, relative to it, where gradients are"
        " compressed; null where they are exact",
        value=lambda run: run.worst("loss_gap"),
    ),
    Metric(
        name="parameter_error",
        unit="ratio",
        better="lower",
        meaning="after the checked steps in float64, the largest distance of a tensor of parameters from one process's,"
        " relative to it; null in shorter formats, in which AdamW makes whole steps of rounding",
        value=lambda run: run.worst("parameter_error"),
    ),
    Metric(
        name="certificate_error",
        unit="ratio",
        better="lower",
        meaning="the first of these of a tiny model in float64, trained by the same strategy on the session's first"
        " device count that has as many axes; null where the case is its own certificate",
        value=lambda run: run.certificate_error,
    ),
    Metric(
        name="losses",
        meaning="of the checked steps: the sum over label tokens ÷ their number in the whole world",
        value=lambda run: run.launches[-1].output["losses"],
    ),
    Metric(
        name="grad_norms",
        meaning="of the whole gradient in these steps, before clipping",
        value=lambda run: run.launches[-1].output["grad_norms"],
    ),
)


def _workload(info: Mapping[str, Any]) -> Workload:
    """Return what was trained, as a heading and a spreadsheet have it."""
    model, weights, dtype, optimizer = (name(info[key]) for key in ("model", "weights", "dtype", "optimizer"))
    micro, turns, rows, width = (
        count(info[key])
        for key in ("micro_batch_size", "grad_accumulation", "global_batch_size", "sequence_length")
    )
    return Workload(
        words=(
            model,
            *([] if weights == "random" else [weights]),
            dtype,
            optimizer,
            f"{micro} rows of {width} tokens",
        ),
        columns=(
            ("model", model),
            ("weights", weights),
            ("dtype", dtype),
            ("optimizer", optimizer),
            ("micro_batch_size", micro),
            ("grad_accumulation", turns),
            ("global_batch_size", rows),
            ("sequence_length", width),
            ("label_tokens", count(info["label_tokens"])),
        ),
    )


TRAINING = ResultFormat(
    mode="training",
    title="Performance of distributed GPT training",
    unit="seconds per label token",
    works="tokens",
    throughput="tokens_per_s",
    throughput_per_gpu="tokens_per_s_per_gpu",
    time="seconds_per_token",
    error="max_gradient_error",
    error_of="gradients",
    energy="energy_j_per_token",
    metrics=(
        *WHAT_RAN,
        *_WORKLOAD,
        *_SPEED,
        *SCALING,
        *_HARDWARE,
        *RESOURCES,
        *_STATE,
        *_EXACTNESS,
        *OUTCOME,
    ),
    varies=("plan", "library", "divider", "grad_accumulation", "rows", "label_tokens"),
    workload=_workload,
    limits=(Limit("mfu", "MFU", "training", "arithmetic"),),
    distributions=("step_s",),
    words=(
        (
            "MFU",
            "model FLOPs utilization: operations that the model takes ÷ what the devices can compute in the same time",
        ),
        (
            "step",
            "all microbatches of every rank, the reduction of their gradients, clipping, and the optimizer",
        ),
    ),
)
"""How a training's results are named, read and shown."""
