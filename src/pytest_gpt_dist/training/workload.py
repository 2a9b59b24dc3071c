"""What is trained: model, number format, rows, optimizer, schedule; as options and tests ask for it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_gpt_dist.config.settings import Options, check_argument
from pytest_gpt_dist.config.training import parse_checkpointing, parse_wrap
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.training.loss_scale import LossScaling
from pytest_gpt_dist.training.recipe import OptimizerName, Recipe, Schedule
from pytest_gpt_dist.training.tuning import Compression, CpuOffload, Prefetch, Tuning

_DEFAULTS = Options()
_SHARED = ("model", "weights", "dtype", "seed")
"""Fields whose options are not of training alone."""
_ONLY_IN_CODE = ("samples",)
_TEXTS: Mapping[str, Any] = {"activation_checkpointing": parse_checkpointing, "wrap": parse_wrap}


@dataclass(frozen=True)
class DeviceDefaults:
    """The training that a device gets when nothing is said."""

    model: str
    dtype: str
    sequence_length: int


CPU_DEFAULTS = DeviceDefaults("qwen3-tiny", "float32", 32)
CUDA_DEFAULTS = DeviceDefaults("gpt2", "bfloat16", 1024)


def device_defaults(device: str) -> DeviceDefaults:
    """Return the defaults of ``cpu`` or ``cuda``."""
    return CUDA_DEFAULTS if device == "cuda" else CPU_DEFAULTS


@dataclass(frozen=True)
class TrainingWorkload:
    """A training as asked for; what is ``None`` is decided by the model, the layout or the library.

    Attributes:
        samples: rows of token ids, taken in their order; None for seeded synthetic ones.
    """

    model: str
    dtype: str
    weights: Literal["random", "pretrained"] | None = None
    micro_batch_size: int = 4
    grad_accumulation: int | None = None
    global_batch_size: int | None = None
    sequence_length: int = 32
    steps: int = 20
    optimizer: OptimizerName = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    warmup_min_lr: float = 0.0
    clip: float = 1.0
    activation_checkpointing: int = 0
    bucket_mb: int | None = None
    reduce_dtype: str | None = None
    activation_offload: bool = False
    cpu_offload: CpuOffload = "none"
    wrap: int = 1
    prefetch: Prefetch = "none"
    overlap: Literal["on", "off"] = "on"
    compression: Compression = "none"
    compression_rank: int = 2
    compression_share: float = 0.01
    error_feedback: Literal["on", "off"] = "on"
    loss_scale: float = 0.0
    initial_scale_power: int = 16
    loss_scale_window: int = 1000
    hysteresis: int = 2
    min_loss_scale: float = 1.0
    seed: int = 0
    samples: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, options: Options, device: str) -> TrainingWorkload:
        """Return the training that the options describe on ``cpu`` or ``cuda``."""
        defaults = device_defaults(device)
        given = {
            field.name: getattr(options, option_of(field.name))
            for field in dataclasses.fields(cls)
            if field.name not in _ONLY_IN_CODE
        }
        for name in ("model", "dtype", "sequence_length"):
            if given[name] is None:
                given[name] = getattr(defaults, name)
        return cls(**given)

    @property
    def recipe(self) -> Recipe:
        """Return optimizer and schedule."""
        names = {field.name for field in dataclasses.fields(Recipe)} - {"clip", "scaling"}
        shared = {name: getattr(self, name) for name in names}
        scaling = LossScaling(
            self.loss_scale,
            self.initial_scale_power,
            self.loss_scale_window,
            self.hysteresis,
            self.min_loss_scale,
        )
        return Recipe(**shared, clip=self.clip or None, scaling=scaling if self.dtype == "float16" else None)

    @property
    def tuning(self) -> Tuning:
        """Return how the library that divides the model works."""
        alike = ("reduce_dtype", "activation_offload", "cpu_offload", "wrap", "prefetch", "compression")
        numbers = ("compression_rank", "compression_share")
        return Tuning(
            **{name: getattr(self, name) for name in (*alike, *numbers)},
            overlap=self.overlap == "on",
            error_feedback=self.error_feedback == "on",
        )

    def without(self, names: Collection[str], device: str) -> TrainingWorkload:
        """Return it with the device's defaults for what ``names`` say, as a case's id is silent of those."""
        default = TrainingWorkload.of(_DEFAULTS, device)
        known = {field.name for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: getattr(default, name) for name in names if name in known})

    def label(self, device: str, model_name: str | None = None) -> str:
        """Return what differs from the device's default training, as it stands in a case's id; empty if nothing."""
        usual = TrainingWorkload.of(_DEFAULTS, device)
        parts = []
        if self.model != usual.model:
            parts.append(_slug(model_name or Path(self.model).name or self.model))
        if self.weights is not None:
            parts.append(self.weights)
        parts += [
            getattr(self, name)
            for name in ("dtype", "optimizer", "schedule")
            if getattr(self, name) != getattr(usual, name)
        ]
        parts += [
            f"{letter}{_number(getattr(self, name))}"
            for letter, name in _LETTERS
            if getattr(self, name) != getattr(usual, name)
        ]
        if self.samples is not None:
            parts.append(f"samples-{samples_sha256(self.samples)[:8]}")
        return ".".join(parts)


_LETTERS = (
    ("b", "micro_batch_size"),
    ("a", "grad_accumulation"),
    ("g", "global_batch_size"),
    ("s", "sequence_length"),
    ("n", "steps"),
    ("lr", "lr"),
    ("betas", "betas"),
    ("eps", "eps"),
    ("decay", "weight_decay"),
    ("warmup", "warmup_steps"),
    ("from", "warmup_min_lr"),
    ("clip", "clip"),
    ("recompute", "activation_checkpointing"),
    ("bucket", "bucket_mb"),
    ("reduce", "reduce_dtype"),
    ("keep-activations", "activation_offload"),
    ("offload-", "cpu_offload"),
    ("wrap", "wrap"),
    ("prefetch-", "prefetch"),
    ("overlap-", "overlap"),
    ("compress-", "compression"),
    ("rank", "compression_rank"),
    ("share", "compression_share"),
    ("feedback-", "error_feedback"),
    ("scale", "loss_scale"),
    ("power", "initial_scale_power"),
    ("window", "loss_scale_window"),
    ("hysteresis", "hysteresis"),
    ("least", "min_loss_scale"),
    ("seed", "seed"),
)
ARGUMENTS = tuple(field.name for field in dataclasses.fields(TrainingWorkload))


def option_of(name: str) -> str:
    """Return the option that says the same as a field of a training."""
    return name if name in _SHARED else f"train_{name}"


def asked_workload(arguments: Mapping[str, Any], usual: TrainingWorkload) -> TrainingWorkload:
    """Return the training that a test's arguments ask for, on top of the ``usual`` one, which the options describe.

    UsageError, in one line, where an argument is wrong. ``clip=None`` means no clipping.
    """
    given = {name: arguments[name] for name in ARGUMENTS if arguments.get(name) is not None}
    if "clip" in arguments and arguments["clip"] is None:
        given["clip"] = 0.0
    for name, value in given.items():
        if name == "betas":
            given[name] = _betas(value)
        elif name in _TEXTS and not isinstance(value, str):
            check_argument(name, str(value), option=option_of(name))
        elif name not in _ONLY_IN_CODE:
            check_argument(name, value, option=option_of(name))
    for name, parse in _TEXTS.items():
        if name in given:
            given[name] = parse(str(given[name])) if given[name] != 0 else 0
    if "samples" in given:
        given["samples"] = _rows(given["samples"])
    return dataclasses.replace(usual, **given)


def samples_sha256(samples: tuple[tuple[int, ...], ...]) -> str:
    """Return what stands for samples that were given in code."""
    return hashlib.sha256(repr(samples).encode()).hexdigest()


def _betas(value: Any) -> tuple[float, float]:
    text = value if isinstance(value, str) else ",".join(map(str, value)) if _is_list(value) else ""
    check_argument("betas", text or str(value), option="train_betas")
    first, second = (float(part) for part in text.split(","))
    return first, second


def _rows(value: Any) -> tuple[tuple[int, ...], ...]:
    if not _is_list(value) or not all(map(_is_list, value)):
        raise UsageError(f"samples={quoted(value)}: expected a list of lists of token ids")
    return tuple(tuple(row) for row in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, tuple):
        return "_".join(map(_number, value))
    return str(value).removesuffix(".0")


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in text)
