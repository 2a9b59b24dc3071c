"""Every option of the plugin, declared once: its meaning, its default, and what it may be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, Literal, get_args

from pytest_gpt_dist.bounds import MOST_DEVICES, device_count
from pytest_gpt_dist.config.choices import Batching, LogLevel
from pytest_gpt_dist.config.given import Given
from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold, parse_thresholds
from pytest_gpt_dist.errors import UsageError, quoted

_LARGEST_SIZE = 2**50
_LARGEST_INTEGER = 10**6
DEFAULT_COUNTS = (1, 2, 4)
MATRIX = ("strategy", "gpus", "engine")
"""What a matrix gives to its test."""
DEGREES = ("data_parallel", "pipeline_parallel", "tensor_parallel")
IniType = Literal["string", "bool", "int", "float"]
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as ``8GiB``, ``500MB`` or ``1073741824``."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?", text.strip().lower())
    size = float(match[1]) * _UNITS[match[2]] if match is not None and match[2] in _UNITS else 0.0
    if not 1 <= size <= _LARGEST_SIZE:
        raise ValueError("expected a size such as 8GiB or 500MB")
    return int(size)


def parse_counts(text: str) -> tuple[int, ...]:
    """Device counts of a list such as ``1,2,4``, ascending and without repeats."""
    try:
        counts = {device_count(int(part)) for part in text.split(",")}
    except ValueError:
        raise ValueError(f"expected device counts such as 1,2,4, none above {MOST_DEVICES:,}") from None
    return tuple(sorted(counts))


def parse_names(text: str) -> tuple[str, ...]:
    """Names of a comma-separated list, in the order given, without repeats."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ValueError("expected names separated by commas")
    return names


GATES = ("ttft", "itl")


def parse_gates(text: str) -> tuple[str, ...]:
    """Latencies that may fail a session, of a list such as ``ttft,itl``."""
    names = parse_names(text)
    if not set(names) <= set(GATES):
        raise ValueError("expected ttft, itl, or both")
    return names


_KINDS = {"int": "a whole number", "float": "a number", "string": "a text", "bool": "True or False"}


@dataclass(frozen=True)
class Declaration:
    """How one option is written, read and checked."""

    help: str
    group: str
    ini: IniType = "string"
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    metavar: str | None = None

    def check(self, value: Any) -> Any:
        """The parsed value, or ValueError with what was expected."""
        if isinstance(value, str) and not value:
            raise ValueError("expected something")
        if self.ini == "string" and isinstance(value, str):
            value = self.parse(value)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError("expected a finite number")
        if self.choices and value not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"expected at least {self.minimum:g}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"expected more than {self.above:g}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"expected at most {self.maximum:,}")
        return value


def _option(default: Any, help: str, group: str, **how: Any) -> Any:
    return dataclasses.field(default=default, metadata={"declaration": Declaration(help, group, **how)})


def _integer(
    default: int | None, help: str, group: str, minimum: int = 1, maximum: int = _LARGEST_INTEGER
) -> Any:
    return _option(default, help, group, ini="int", minimum=minimum, maximum=maximum, metavar="N")


@dataclass(frozen=True)
class Options:
    """What the user asked for; ``None`` means the default of the device or of the prompt."""

    model: str | None = _option(
        None,
        "preset, folder from save_pretrained, or hub name (default: gpt2-xl on CUDA, gpt2-mini on the CPU)",
        "model",
        metavar="NAME",
    )
    weights: str | None = _option(
        None,
        "random (seeded) or pretrained (default: random for a preset, a folder's own otherwise)",
        "model",
        choices=("random", "pretrained"),
    )
    dtype: str | None = _option(
        None,
        "number format of weights and cache (default: bfloat16 on CUDA, float32 on the CPU)",
        "model",
        choices=("float64", "float32", "bfloat16", "float16"),
    )
    offline: bool = _option(False, "never ask the model hub; use what is on disk", "model", ini="bool")

    gpus: tuple[int, ...] | None = _option(
        None, "device counts of the matrix (default: 1,2,4)", "matrix", parse=parse_counts, metavar="N,N"
    )
    engine: tuple[str, ...] = _option(
        ("native",),
        "engines of the matrix (default: native)",
        "matrix",
        parse=parse_names,
        metavar="NAME,NAME",
    )
    scaling: str = _option(
        "weak",
        "weak: the batch size is per device; strong: the batch is fixed for the whole world (default: weak)",
        "matrix",
        choices=("weak", "strong"),
    )
    tensor_parallel: int | None = _integer(
        None, "tensor-parallel degree; degrees replace the matrix", "matrix", 1, MOST_DEVICES
    )
    pipeline_parallel: int | None = _integer(
        None, "pipeline stages; degrees replace the matrix", "matrix", 1, MOST_DEVICES
    )
    data_parallel: int | None = _integer(
        None, "replicas; degrees replace the matrix", "matrix", 1, MOST_DEVICES
    )
    microbatches: int | None = _integer(
        None, "microbatches a batch is split into (default: as many as pipeline stages)", "matrix"
    )

    device: str = _option(
        "auto",
        "where ranks run (default: auto, CUDA if there is a GPU)",
        "device",
        choices=("auto", "cpu", "cuda"),
    )
    backend: str = _option(
        "auto",
        "communication backend (default: nccl on CUDA, gloo on the CPU)",
        "device",
        choices=("auto", "nccl", "gloo"),
    )
    threads_per_rank: int = _integer(
        1, "cores and threads of a rank on the CPU (default: 1)", "device", 1, 4096
    )
    share_gpu: bool = _option(
        False,
        "put several ranks on one GPU, to check results; such cases have no efficiency",
        "device",
        ini="bool",
    )
    memory_limit: int | None = _option(
        None, "most memory a rank may take, such as 8GiB", "device", parse=parse_bytes, metavar="SIZE"
    )

    attention: str = _option(
        "auto",
        "attention kernel of torch: flash, efficient (memory-efficient) or math (default: auto, torch's choice)",
        "device",
        choices=("auto", "flash", "efficient", "math"),
    )

    prompts: str | None = _option(
        None,
        "JSON Lines file of prompts (default: 20 that ship with the package)",
        "workload",
        metavar="FILE",
    )
    requests: int | None = _integer(None, "number of requests (default: batch size x devices)", "workload")
    batch_size: int = _integer(4, "requests generated together (default: 4)", "workload")
    batching: str = _option(
        "in-order",
        "requests of a batch: in-order, by-length (similar ones together), or token-budget: by length, as many as"
        " --gpt-token-budget allows (default: in-order); it takes more --gpt-requests than fill one batch",
        "workload",
        choices=get_args(Batching),
    )
    token_budget: int | None = _integer(
        None,
        "with --gpt-batching=token-budget: most tokens of a batch, padding and new ones included, counted per device"
        " or world as the batch size is",
        "workload",
    )
    prompt_tokens: int | None = _integer(
        None,
        "cut or repeat prompts to this length (default: 256 on CUDA, 64 on the CPU; a file's own lengths)",
        "workload",
    )
    new_tokens: int | None = _integer(
        None, "tokens to generate for each request (default: the prompt's max_length, else 64)", "workload"
    )
    temperature: float | None = _option(
        None, "sample, with this temperature", "workload", ini="float", above=0.0, metavar="T"
    )
    top_p: float | None = _option(
        None,
        "sample from the most likely tokens that hold this probability",
        "workload",
        ini="float",
        above=0.0,
        maximum=1.0,
        metavar="P",
    )
    repetition_penalty: float = _option(
        1.0, "divide the logits of tokens already seen", "workload", ini="float", above=0.0, metavar="F"
    )
    seed: int = _integer(0, "seed of random weights and of sampling (default: 0)", "workload", 0, 2**63 - 1)

    rounds: int | None = _integer(
        None, "exactly this many timed rounds (default: until precise enough)", "measuring"
    )
    min_rounds: int = _integer(3, "at least this many timed rounds (default: 3)", "measuring")
    max_time: float = _option(
        3.0,
        "stop adding rounds after this many seconds (default: 3)",
        "measuring",
        ini="float",
        above=0.0,
        metavar="S",
    )
    warmup: int = _integer(1, "untimed rounds before the timed ones (default: 1)", "measuring", minimum=0)
    launches: int = _integer(1, "measure a case over this many new rank groups (default: 1)", "measuring")
    timeout: float = _option(
        300.0,
        "longest silence of a rank, in seconds, before it counts as hung (default: 300)",
        "measuring",
        ini="float",
        above=0.0,
        maximum=1e6,
        metavar="S",
    )
    alert: tuple[Threshold, ...] = _option(
        DEFAULT_THRESHOLDS,
        "alert beyond these: temperature in degrees Celsius; gpu_memory, host_memory, cpu in percent"
        "; SEVERITY is warning or critical"
        " (default: temperature=80,gpu_memory=90,host_memory=85,cpu=90)",
        "measuring",
        parse=parse_thresholds,
        metavar="NAME=LIMIT[:SEVERITY],...",
    )

    baseline: bool = _option(
        False,
        "give a verdict on each case against earlier saved runs; a regression fails the session",
        "comparing",
        ini="bool",
    )
    require_baseline: bool = _option(
        False, "a case without anything to compare with fails the session", "comparing", ini="bool"
    )
    against: str | None = _option(
        None,
        "measure in turns with a git revision, or another Python, and give a verdict on each case",
        "comparing",
        metavar="REF|PYTHON",
    )
    min_effect: float = _option(
        0.02,
        "smallest slowdown worth a failure, as a share of the time (default: 0.02)",
        "comparing",
        ini="float",
        above=0.0,
        maximum=0.99,
        metavar="SHARE",
    )

    gate: tuple[str, ...] = _option(
        (),
        "with --gpt-against: let these latencies fail the session, too: ttft, itl",
        "comparing",
        parse=parse_gates,
        metavar="NAME,NAME",
    )
    null_control: bool = _option(
        False,
        "with --gpt-against: measure one side against itself before a difference is believed",
        "comparing",
        ini="bool",
    )

    resume: bool = _option(
        False, "take what a killed session had measured from its journal", "running", ini="bool"
    )
    report: str | None = _option(
        None, "write charts, tables and a page of the session into this folder", "running", metavar="DIR"
    )
    log_level: str = _option(
        "warning",
        "what ranks tell of their work in their output (default: warning)",
        "running",
        choices=get_args(LogLevel),
    )
    log_dir: str | None = _option(
        None, "keep the output of each rank, and session.log, in this folder", "running", metavar="DIR"
    )

    given: Mapping[str, Given] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """How each option was given that was; what is made in code has none."""

    def source(self, name: str) -> str:
        """Return what a message names that is about an option: its flag, or the ini key that gave it."""
        return self._how(name).source

    def written(self, name: str, value: object = None) -> str:
        """Return the same with the value: ``value`` where it is not the text that was given."""
        how = self._how(name)
        if value is not None:
            return how.of(value)
        return how.written if how.value is not None else how.of(_text(getattr(self, name)))

    def _how(self, name: str) -> Given:
        return self.given.get(name) or Given(flag(name))

    def check_batching(self) -> None:
        """Raise UsageError where batching and the token budget do not go together."""
        try:
            check_batching(self.batching, self.token_budget)
        except UsageError as error:
            name = "batching" if self.token_budget is None else "token_budget"
            raise UsageError(f"{self.written(name)}: {error}") from None

    def check_comparison(self) -> None:
        """Raise UsageError where the options of comparing do not go together."""
        if self.against is None:
            for name in ("gate", "null_control"):
                if getattr(self, name):
                    raise UsageError(
                        f"{self.source(name)} needs --gpt-against: other comparisons do not use it"
                    )
            return
        if self.baseline:
            raise UsageError(
                f"{self.source('baseline')} compares with saved sessions, {self.source('against')} with launches of"
                " this one: choose one"
            )
        if self.launches > 1:
            raise UsageError(
                f"{self.written('launches')}: {self.source('against')} measures 4 pairs of launches, and 12 more of"
                " suspects; leave out one of the two"
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


def declarations() -> Iterator[tuple[str, Declaration]]:
    """Field name and declaration of every option, in the order of the documentation."""
    for field in dataclasses.fields(Options):
        if "declaration" in field.metadata:
            yield field.name, field.metadata["declaration"]


def check_argument(name: str, value: Any) -> None:
    """Hold an argument given in code to the rules of the option of that name; UsageError if it breaks them."""
    how = dict(declarations())[name]
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "string": (str,),
        "bool": (bool,),
    }
    fits = isinstance(value, kinds[how.ini]) and (how.ini == "bool" or not isinstance(value, bool))
    try:
        if not fits:
            raise ValueError(f"expected {_KINDS[how.ini]}")
        how.check(float(value) if how.ini == "float" else value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}={quoted(value)}: {error}") from None


def check_batching(batching: str, token_budget: int | None) -> None:
    """Raise UsageError where a way of batching lacks its budget, or a budget the way of batching that uses it."""
    if batching == "token-budget" and token_budget is None:
        raise UsageError("batching by token-budget needs a budget: give --gpt-token-budget=N")
    if batching != "token-budget" and token_budget is not None:
        raise UsageError(
            f"a token budget of {token_budget} needs --gpt-batching=token-budget: {batching} does not use it"
        )


def _text(value: Any) -> str | None:
    """Return a value as it is written on the command line; None of what is switched on."""
    if value is True:
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def flag(name: str) -> str:
    """The command-line flag of a field, ``--gpt-batch-size`` for ``batch_size``."""
    return "--gpt-" + name.replace("_", "-")
