"""The options of training: what a step takes, and what becomes of its gradients."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.config.declaration import Section, integer, option

SCHEDULES = ("constant", "linear", "cosine")
OPTIMIZERS = ("adamw", "sgd")
_MOST_STEPS = 10**5


def parse_betas(text: str) -> tuple[float, float]:
    """Return AdamW's two decay rates of a text such as ``0.9,0.95``."""
    parts = text.split(",")
    try:
        first, second = (float(part) for part in parts)
    except ValueError:
        raise ValueError("expected two numbers such as 0.9,0.95") from None
    if not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError("expected two numbers from 0 to below 1, such as 0.9,0.95")
    return first, second


def parse_checkpointing(text: str) -> int:
    """Return every how many layers are computed again: ``off`` is 0, ``full`` is 1, or the number itself."""
    named = {"off": 0, "full": 1}
    if text in named:
        return named[text]
    if not text.isdecimal() or not 0 < int(text) <= 10**4:
        raise ValueError("expected off, full, or a number of layers such as 2")
    return int(text)


def parse_wrap(text: str) -> int:
    """Return how many layers are gathered together: ``block`` is 1, ``root`` is 0, or the number itself."""
    named = {"block": 1, "root": 0}
    if text in named:
        return named[text]
    if not text.isdecimal() or not 0 < int(text) <= 10**4:
        raise ValueError("expected block, root, or a number of layers such as 2")
    return int(text)


@dataclass(frozen=True)
class TrainingOptions(Section):
    """What is trained in a step, and how; model, number format and seed are those of the other sections."""

    title = "training"

    train_steps: int = integer(
        20,
        "steps whose losses are checked and saved, and over which the schedule goes (default: 20)",
        1,
        _MOST_STEPS,
    )
    train_micro_batch_size: int = integer(4, "rows of a forward pass on each device (default: 4)")
    train_grad_accumulation: int | None = integer(
        None, "microbatches of a step on each data-parallel rank (default: 1, or as many as pipeline stages)"
    )
    train_global_batch_size: int | None = integer(
        None,
        "rows of a step in the whole world; says the accumulation, or is checked against it (default: what the others"
        " make, so that more devices train more rows)",
    )
    train_sequence_length: int | None = integer(
        None, "tokens of a row, padding included (default: 1024 on CUDA, 32 on the CPU)", 2
    )
    train_optimizer: str = option(
        "adamw", "adamw, or sgd without momentum (default: adamw)", choices=OPTIMIZERS
    )
    train_lr: float = option(
        1e-3, "highest learning rate (default: 0.001)", ini="float", minimum=0.0, maximum=1e3, metavar="R"
    )
    train_betas: tuple[float, float] = option(
        (0.9, 0.999), "AdamW's decay rates (default: 0.9,0.999)", parse=parse_betas, metavar="B,B"
    )
    train_eps: float = option(
        1e-8, "AdamW's epsilon (default: 1e-8)", ini="float", above=0.0, maximum=1.0, metavar="E"
    )
    train_weight_decay: float = option(
        0.01, "weight decay (default: 0.01)", ini="float", minimum=0.0, maximum=1e3, metavar="D"
    )
    train_schedule: str = option(
        "constant",
        "learning rate after the warm-up: constant, or down to 0 as linear or cosine (default: constant)",
        choices=SCHEDULES,
    )
    train_warmup_steps: int = integer(
        0, "steps over which the learning rate rises (default: 0)", 0, _MOST_STEPS
    )
    train_warmup_min_lr: float = option(
        0.0, "learning rate that the warm-up begins with (default: 0)", ini="float", minimum=0.0, metavar="R"
    )
    train_clip: float = option(
        1.0,
        "largest norm of the whole gradient, 0 for no clipping (default: 1)",
        ini="float",
        minimum=0.0,
        metavar="N",
    )
    train_activation_checkpointing: int = option(
        0,
        "layers that the backward pass computes again: off, full, or every so many (default: off)",
        parse=parse_checkpointing,
        metavar="off|full|N",
    )
    train_activation_offload: bool = option(
        False, "keep activations in the host's memory for the backward pass", ini="bool"
    )
    train_cpu_offload: str = option(
        "none",
        "state that fully_shard keeps in the host's memory: none, or both parameters and optimizer; either alone is"
        " other engines' (default: none)",
        choices=("none", "optimizer", "parameters", "both"),
    )
    train_wrap: int = option(
        1,
        "layers that fully_shard gathers together: block for one, a number, or root for the whole model"
        " (default: block)",
        parse=parse_wrap,
        metavar="block|N|root",
    )
    train_prefetch: str = option(
        "none",
        "passes in which fully_shard gathers the next layers before it has to (default: none but torch's own)",
        choices=("none", "forward", "backward", "both"),
    )
    train_reduce_dtype: str | None = option(
        None,
        "format in which fully_shard reduces gradients: float32, or that of the training (default: float32)",
        choices=("float32", "bfloat16", "float16"),
    )
    train_overlap: str = option(
        "on",
        "whether DDP reduces gradients while the backward pass goes on, or after it (default: on)",
        choices=("on", "off"),
    )
    train_compression: str = option(
        "none",
        "what DDP sends instead of gradients, inexact by intent (default: none)",
        choices=("none", "fp16", "powersgd", "topk"),
    )
    train_compression_rank: int = integer(2, "rank of PowerSGD's matrices (default: 2)")
    train_compression_share: float = option(
        0.01,
        "share of the gradients that top-K sends (default: 0.01)",
        ini="float",
        above=0.0,
        maximum=1.0,
        metavar="S",
    )
    train_error_feedback: str = option(
        "on",
        "whether PowerSGD and top-K add what they did not send to the next step's gradients (default: on)",
        choices=("on", "off"),
    )
    train_loss_scale: float = option(
        0.0,
        "factor of the loss in float16, a power of 2; 0 for one that adapts (default: 0)",
        ini="float",
        minimum=0.0,
        metavar="S",
    )
    train_initial_scale_power: int = integer(
        16, "power of 2 that an adapting factor begins with (default: 16)", 0, 32
    )
    train_loss_scale_window: int = integer(
        1000, "steps without an overflow after which the factor doubles (default: 1000)"
    )
    train_hysteresis: int = integer(2, "overflows before the factor is halved (default: 2)")
    train_min_loss_scale: float = option(
        1.0, "smallest factor (default: 1)", ini="float", above=0.0, metavar="S"
    )
    price: float | None = option(
        None, "price of a device for an hour; adds what a training costs", ini="float", above=0.0, metavar="P"
    )
    train_tokens: int | None = integer(
        None, "label tokens of a whole training, whose time and cost are told", 1, 10**15
    )
    train_bucket_mb: int | None = integer(
        None, "largest bucket of gradients that DDP reduces together, in MiB (default: DDP's own, 25)"
    )
