"""What is measured: model, weights, dtype, requests, batch, lengths, sampling, seed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from pytest_gpt_dist.config.choices import Batching
from pytest_gpt_dist.config.sections import check_batching
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines.protocol import Request, Sampling
from pytest_gpt_dist.inference.prompts import Prompt, Tokenize, encode, fit, given_prompts
from pytest_gpt_dist.model.content_hash import named_by_content
from pytest_gpt_dist.parallel import Dimensions

DEFAULT_NEW_TOKENS = 64
_DEFAULTS = Options()


@dataclass(frozen=True)
class DeviceDefaults:
    """The workload that a device gets when nothing is said."""

    model: str
    dtype: str
    prompt_tokens: int


CPU_DEFAULTS = DeviceDefaults("gpt2-mini", "float32", 64)
CUDA_DEFAULTS = DeviceDefaults("gpt2-xl", "bfloat16", 256)


def device_defaults(device: str) -> DeviceDefaults:
    """Return the defaults of ``cpu`` or ``cuda``."""
    return CUDA_DEFAULTS if device == "cuda" else CPU_DEFAULTS


@dataclass(frozen=True)
class PathNames:
    """What a model and a prompt file are called that are given by a path.

    The path's last part alone does not tell two of one name apart. It is all there is where this is None.
    """

    model: str | None = None
    prompts: str | None = None


BY_THEIR_PATHS = PathNames()


@dataclass(frozen=True)
class Workload:
    """A workload as asked for; what is ``None`` is decided by the prompts or the model."""

    model: str
    dtype: str
    weights: Literal["random", "pretrained"] | None = None
    prompts: str | tuple[Prompt, ...] | None = None
    requests: int | None = None
    batch_size: int = 4
    batching: Batching = "in-order"
    token_budget: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    scaling: Literal["weak", "strong"] = "weak"
    microbatches: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_batching(self.batching, self.token_budget)

    @classmethod
    def of(cls, options: Options, device: str) -> Workload:
        """Return the workload that the options describe on ``cpu`` or ``cuda``."""
        defaults = device_defaults(device)
        shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(cls)}
        shared["model"] = options.model or defaults.model
        shared["dtype"] = options.dtype or defaults.dtype
        if options.prompt_tokens is None and options.prompts is None:
            shared["prompt_tokens"] = defaults.prompt_tokens
        return cls(**shared)

    @property
    def sampling(self) -> Sampling:
        """How the next token is chosen."""
        return Sampling(self.temperature, self.top_p, self.repetition_penalty, self.seed)

    def without(self, names: Collection[str], device: str) -> Workload:
        """Return it with the device's defaults for what ``names`` say, as a case's id is silent of those."""
        default = Workload.of(_DEFAULTS, device)
        if {"batching", "token_budget"} & {*names}:
            names = {*names, "batching", "token_budget"}  # neither goes without the other
        if "prompts" in names and isinstance(self.prompts, str) and self.prompt_tokens is None:
            names = {*names, "prompt_tokens"}
        given = {field.name: getattr(default, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: given[name] for name in names if name in given})

    def label(self, device: str, names: PathNames = BY_THEIR_PATHS) -> str:
        """Return what differs from the device's default workload, as it stands in a case's id; empty if nothing."""
        defaults = device_defaults(device)
        parts = []
        if self.model != defaults.model:
            parts.append(_slug(names.model or Path(self.model).name or self.model))
        if self.weights is not None:
            parts.append(self.weights)
        if self.dtype != defaults.dtype:
            parts.append(self.dtype)
        if self.scaling != _DEFAULTS.scaling:
            parts.append(self.scaling)
        if self.batching == "by-length":
            parts.append(self.batching)
        if isinstance(self.prompts, str):
            parts.append(_slug(names.prompts or Path(self.prompts).stem))
        elif self.prompts is not None:
            parts.append(named_by_content("prompts", self._prompts_sha256))
        default_prompt_tokens = defaults.prompt_tokens if self.prompts is None else None
        numbers: tuple[tuple[str, Any, Any], ...] = (
            ("b", self.batch_size, _DEFAULTS.batch_size),
            ("budget", self.token_budget, None),
            ("r", self.requests, None),
            ("p", self.prompt_tokens, default_prompt_tokens),
            ("n", self.new_tokens, None),
            ("m", self.microbatches, None),
            ("temperature", self.temperature, None),
            ("top_p", self.top_p, None),
            ("penalty", self.repetition_penalty, _DEFAULTS.repetition_penalty),
            ("seed", self.seed, _DEFAULTS.seed),
        )
        parts += [
            f"{letter}{value}".removesuffix(".0")
            for letter, value, default in numbers
            if value is not None and value != default
        ]
        return ".".join(parts)

    @property
    def _prompts_sha256(self) -> str:
        """Stands for prompts that are given in code."""
        given = [
            prompt.text or prompt.token_ids for prompt in self.prompts or () if isinstance(prompt, Prompt)
        ]
        return hashlib.sha256(repr(given).encode()).hexdigest()


def asked_workload(arguments: Mapping[str, Any], options: Options, usual: Workload) -> Workload:
    """Return the workload that a test's arguments ask for, on top of the ``usual`` one, which the options describe.

    UsageError where the arguments do not go together.
    """
    names = (field.name for field in dataclasses.fields(Workload))
    given = {name: arguments[name] for name in names if arguments.get(name) is not None}
    if "prompts" in given and not isinstance(given["prompts"], (str, Path)):
        if "requests" in given:
            raise UsageError("prompts given in code are exactly the requests; leave out requests")
        given["prompts"] = given_prompts(given["prompts"])
        given = {"prompt_tokens": None, "requests": None} | given
    elif "prompts" in given:
        given = {"prompt_tokens": options.prompt_tokens} | given
        given["prompts"] = str(given["prompts"])
    if given.get("batching", "token-budget") != "token-budget":
        given = {"token_budget": None} | given  # what the options say is of another way of batching
    return dataclasses.replace(usual, **given)


def build_requests(
    workload: Workload, prompts: Sequence[Prompt], gpus: int, size: Dimensions, tokenize: Tokenize
) -> tuple[Request, ...]:
    """Return the requests of a world of ``gpus`` devices: prompts cycled, cut or repeated, with their lengths.

    Raises UsageError where a request does not fit the model's context or vocabulary.
    """
    if workload.prompt_tokens is not None and workload.prompt_tokens >= size.positions:
        raise UsageError(
            f"{workload.prompt_tokens} prompt tokens and {workload.new_tokens or DEFAULT_NEW_TOKENS} new ones do"
            f" not fit {workload.model}'s context of {size.positions};"
            " lower --gpt-prompt-tokens or --gpt-new-tokens"
        )
    exact = isinstance(workload.prompts, tuple)
    devices = gpus if workload.scaling == "weak" else 1
    count = len(prompts) if exact else workload.requests or workload.batch_size * devices
    used = prompts[:count]
    encoded = encode(used, tokenize, size.vocabulary)
    requests = []
    for index, (prompt, ids) in enumerate(islice(cycle(zip(used, encoded, strict=True)), count)):
        tokens = fit(ids, workload.prompt_tokens)
        new_tokens = workload.new_tokens or prompt.new_tokens or DEFAULT_NEW_TOKENS
        if len(tokens) + new_tokens > size.positions:
            raise UsageError(
                f"{prompt.where}: {len(tokens)} prompt tokens and {new_tokens} new ones do not fit"
                f" {workload.model}'s context of {size.positions}; lower --gpt-prompt-tokens or --gpt-new-tokens"
            )
        requests.append(Request(index, tokens, new_tokens))
    return tuple(requests)


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in text)
