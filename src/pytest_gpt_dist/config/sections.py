"""Every option of the plugin, declared once, in sections: one value for each subject that code may need alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import get_args

from pytest_gpt_dist.bounds import MOST_DEVICES, device_count
from pytest_gpt_dist.config.address import parse_address
from pytest_gpt_dist.config.choices import Batching, LogLevel
from pytest_gpt_dist.config.collectives import CollectiveOptions
from pytest_gpt_dist.config.declaration import (
    Section,
    integer,
    option,
    parse_bytes,
    parse_counts,
    parse_names,
)
from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_thresholds
from pytest_gpt_dist.config.training import TrainingOptions
from pytest_gpt_dist.errors import UsageError

DEFAULT_COUNTS = (1, 2, 4)
SUITES = ("inference", "training", "collectives")
"""What ``benchmarks/test_*.py`` there are; each is a mode's name."""


def parse_suites(text: str) -> tuple[str, ...]:
    """Return suites of a comma-separated list; ValueError for one that there is not."""
    names = parse_names(text)
    if unknown := [name for name in names if name not in SUITES]:
        raise ValueError(f"expected some of {', '.join(SUITES)}, not {unknown[0][:40]}")
    return names


MATRIX = ("strategy", "gpus", "engine")
"""What a matrix gives to its test."""
DEGREES = ("data_parallel", "pipeline_parallel", "tensor_parallel")


@dataclass(frozen=True)
class ModelOptions(Section):
    """What is run, and in which number format."""

    title = "model"

    model: str | None = option(
        None,
        "preset, folder from save_pretrained, or hub name (default: gpt2-xl on CUDA, gpt2-mini on the CPU)",
        metavar="NAME",
        sweeps=True,
    )
    weights: str | None = option(
        None,
        "random (seeded) or pretrained (default: random for a preset, a folder's own otherwise)",
        choices=("random", "pretrained"),
        sweeps=True,
    )
    dtype: str | None = option(
        None,
        "number format of weights and cache (default: bfloat16 on CUDA, float32 on the CPU)",
        choices=("float64", "float32", "bfloat16", "float16"),
        sweeps=True,
    )
    offline: bool = option(False, "never ask the model hub; use what is on disk", ini="bool")


@dataclass(frozen=True)
class MatrixOptions(Section):
    """Over how many devices it is divided, how, and by which engine."""

    title = "matrix"

    suite: tuple[str, ...] = option(
        ("inference",),
        "which of benchmarks/test_*.py are collected where a folder is asked for: inference, training, collectives"
        " (default: inference); a file that is named is always collected",
        parse=parse_suites,
        metavar="NAME,NAME",
    )
    gpus: tuple[int, ...] | None = option(
        None, "device counts of the matrix (default: 1,2,4)", parse=parse_counts, metavar="N,N"
    )
    engine: tuple[str, ...] = option(
        ("native",),
        "engines of the matrix (default: native)",
        parse=parse_names,
        metavar="NAME,NAME",
    )
    scaling: str = option(
        "weak",
        "weak: the batch size is per device; strong: the batch is fixed for the whole world (default: weak)",
        choices=("weak", "strong"),
        sweeps=True,
    )
    tensor_parallel: int | None = integer(
        None, "tensor-parallel degree; degrees replace the matrix", 1, MOST_DEVICES
    )
    pipeline_parallel: int | None = integer(
        None, "pipeline stages; degrees replace the matrix", 1, MOST_DEVICES
    )
    data_parallel: int | None = integer(None, "replicas; degrees replace the matrix", 1, MOST_DEVICES)
    microbatches: int | None = integer(
        None,
        "microbatches a batch is split into (default: as many as pipeline stages)",
        sweeps=True,
    )

    @property
    def counts(self) -> tuple[int, ...]:
        """Device counts of the matrix: those given, else that of the degrees, else 1, 2 and 4.

        Raises UsageError where the degrees do not multiply to the count given.
        """
        if self.degrees is None:
            return self.gpus or DEFAULT_COUNTS
        count = device_count(prod(self.degrees), "the degrees' product, ")
        if self.gpus is not None and self.gpus != (count,):
            degrees = [self.written(name) for name in DEGREES if getattr(self, name) is not None]
            raise UsageError(
                f"{' × '.join(degrees)} = {count} devices, but {self.written('gpus')};"
                f" leave out {self.source('gpus')}, or make them agree"
            )
        return (count,)

    @property
    def degrees(self) -> tuple[int, int, int] | None:
        """The degrees (dp, pp, tp) given outright, omitted ones being 1; None where none is given."""
        given = (self.data_parallel, self.pipeline_parallel, self.tensor_parallel)
        if given == (None, None, None):
            return None
        dp, pp, tp = (degree or 1 for degree in given)
        return dp, pp, tp


@dataclass(frozen=True)
class DeviceOptions(Section):
    """Where ranks run, and what each of them may take."""

    title = "device"

    device: str = option(
        "auto",
        "where ranks run (default: auto, CUDA if there is a GPU)",
        choices=("auto", "cpu", "cuda"),
    )
    backend: str = option(
        "auto",
        "communication backend (default: nccl on CUDA, gloo on the CPU)",
        choices=("auto", "nccl", "gloo"),
    )
    threads_per_rank: int = integer(1, "cores and threads of a rank on the CPU (default: 1)", 1, 4096)
    share_gpu: bool = option(
        False,
        "put several ranks on one GPU, to check results; such cases have no efficiency",
        ini="bool",
    )
    memory_limit: int | None = option(
        None, "most memory a rank may take, such as 8GiB", parse=parse_bytes, metavar="SIZE"
    )
    attention: str = option(
        "auto",
        "attention kernel of torch: flash, efficient (memory-efficient) or math (default: auto, torch's choice)",
        choices=("auto", "flash", "efficient", "math"),
    )


@dataclass(frozen=True)
class WorkloadOptions(Section):
    """What is generated, and how tokens are chosen."""

    title = "workload"

    prompts: str | None = option(
        None,
        "JSON Lines file of prompts (default: 20 that ship with the package)",
        metavar="FILE",
    )
    requests: int | None = integer(None, "number of requests (default: batch size x devices)", sweeps=True)
    batch_size: int = integer(4, "requests generated together (default: 4)", sweeps=True)
    batching: str = option(
        "in-order",
        "requests of a batch: in-order, by-length (similar ones together), or token-budget: by length, as many as"
        " --gpt-token-budget allows (default: in-order); it takes more --gpt-requests than fill one batch",
        choices=get_args(Batching),
        sweeps=True,
    )
    token_budget: int | None = integer(
        None,
        "with --gpt-batching=token-budget: most tokens of a batch, padding and new ones included, counted per device"
        " or world as the batch size is",
        sweeps=True,
    )
    prompt_tokens: int | None = integer(
        None,
        "cut or repeat prompts to this length (default: 256 on CUDA, 64 on the CPU; a file's own lengths)",
        sweeps=True,
    )
    new_tokens: int | None = integer(
        None,
        "tokens to generate for each request (default: the prompt's max_length, else 64)",
        sweeps=True,
    )
    temperature: float | None = option(
        None,
        "sample, with this temperature",
        ini="float",
        above=0.0,
        metavar="T",
        sweeps=True,
    )
    top_p: float | None = option(
        None,
        "sample from the most likely tokens that hold this probability",
        ini="float",
        above=0.0,
        maximum=1.0,
        metavar="P",
        sweeps=True,
    )
    repetition_penalty: float = option(
        1.0,
        "divide the logits of tokens already seen",
        ini="float",
        above=0.0,
        metavar="F",
        sweeps=True,
    )
    seed: int = integer(0, "seed of random weights and of sampling (default: 0)", 0, 2**63 - 1, sweeps=True)

    def check_batching(self) -> None:
        """Raise UsageError where batching and the token budget do not go together."""
        try:
            check_batching(self.batching, self.token_budget)
        except UsageError as error:
            name = "batching" if self.token_budget is None else "token_budget"
            raise UsageError(f"{self.written(name)}: {error}") from None


@dataclass(frozen=True)
class MeasuringOptions(Section):
    """How long and how often a case is timed, and how its machine is watched."""

    title = "measuring"

    rounds: int | None = integer(None, "exactly this many timed rounds (default: until precise enough)")
    min_rounds: int = integer(3, "at least this many timed rounds (default: 3)")
    max_time: float = option(
        3.0,
        "stop adding rounds after this many seconds (default: 3)",
        ini="float",
        above=0.0,
        metavar="S",
    )
    warmup: int = integer(1, "untimed rounds before the timed ones (default: 1)", minimum=0)
    launches: int = integer(1, "measure a case over this many new rank groups (default: 1)")
    timeout: float = option(
        300.0,
        "longest silence of a rank, in seconds, before it counts as hung (default: 300)",
        ini="float",
        above=0.0,
        maximum=1e6,
        metavar="S",
    )
    alert: tuple[Threshold, ...] = option(
        DEFAULT_THRESHOLDS,
        "alert beyond these: temperature in degrees Celsius; gpu_memory, host_memory, cpu in percent"
        "; SEVERITY is warning or critical"
        " (default: temperature=80,gpu_memory=90,host_memory=85,cpu=90)",
        parse=parse_thresholds,
        metavar="NAME=LIMIT[:SEVERITY],...",
    )


@dataclass(frozen=True)
class ComparingOptions(Section):
    """What a session is compared with, and what fails it."""

    title = "comparing"

    baseline: bool = option(
        False,
        "give a verdict on each case against earlier saved runs; a regression fails the session",
        ini="bool",
    )
    require_baseline: bool = option(
        False, "a case without anything to compare with fails the session", ini="bool"
    )
    against: str | None = option(
        None,
        "measure in turns with a git revision, or another Python, and give a verdict on each case",
        metavar="REF|PYTHON",
    )
    min_effect: float = option(
        0.02,
        "smallest slowdown worth a failure, as a share of the time (default: 0.02)",
        ini="float",
        above=0.0,
        maximum=0.99,
        metavar="SHARE",
    )
    gate: tuple[str, ...] = option(
        (),
        "with --gpt-against: let these latencies fail the session, too: ttft, itl",
        parse=parse_names,
        metavar="NAME,NAME",
    )
    null_control: bool = option(
        False,
        "with --gpt-against: measure one side against itself before a difference is believed",
        ini="bool",
    )


@dataclass(frozen=True)
class RunningOptions(Section):
    """What a session keeps and writes down."""

    title = "running"

    resume: bool = option(False, "take what a killed session had measured from its journal", ini="bool")
    report: str | None = option(
        None, "write charts, tables and a page of the session into this folder", metavar="DIR"
    )
    profile: str | None = option(
        None,
        "write a torch profiler trace of one round of each rank, after the timed ones, into this folder",
        metavar="DIR",
    )
    log_level: str = option(
        "warning",
        "what ranks tell of their work in their output (default: warning)",
        choices=get_args(LogLevel),
    )
    log_dir: str | None = option(
        None, "keep the output of each rank, and session.log, in this folder", metavar="DIR"
    )
    wait: float = option(
        600.0,
        "longest time to wait for devices that another session has, in seconds (default: 600)",
        ini="float",
        minimum=0.0,
        maximum=1e6,
        metavar="S",
    )
    launcher: str = option(
        "local",
        "who starts ranks: local (this machine), or torchrun (several machines) (default: local)",
        choices=("local", "torchrun"),
    )
    rendezvous: tuple[str, int] | None = option(
        None,
        "with --gpt-launcher=torchrun: this machine's address, at which pytest listens for torchrun's ranks",
        parse=parse_address,
        metavar="HOST:PORT",
    )


SECTIONS: tuple[type[Section], ...] = (
    ModelOptions,
    MatrixOptions,
    DeviceOptions,
    WorkloadOptions,
    TrainingOptions,
    CollectiveOptions,
    MeasuringOptions,
    ComparingOptions,
    RunningOptions,
)
"""In the order of the documentation."""


def check_batching(batching: str, token_budget: int | None) -> None:
    """Raise UsageError where a way of batching lacks its budget, or a budget the way of batching that uses it."""
    if batching == "token-budget" and token_budget is None:
        raise UsageError("batching by token-budget needs a budget: give --gpt-token-budget=N")
    if batching != "token-budget" and token_budget is not None:
        raise UsageError(
            f"a token budget of {token_budget} needs --gpt-batching=token-budget: {batching} does not use it"
        )
