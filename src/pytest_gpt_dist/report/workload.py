"""The workload of a saved case, each entry by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.results.checked import count, name


@dataclass(frozen=True)
class Lengths:
    """The shortest and the longest, in tokens, over the requests of a case."""

    shortest: int
    longest: int


@dataclass(frozen=True)
class Workload:
    """What a case was asked to do; ``batch_size`` is that of each device (weak scaling) or of the world (strong)."""

    model: str
    weights: str
    dtype: str
    scaling: str
    batch_size: int
    prompt_tokens: Lengths
    new_tokens: Lengths


def read_workload(info: Mapping[str, Any]) -> Workload:
    """Return that of a case's ``extra_info``. KeyError, TypeError or ValueError where it is damaged."""
    return Workload(
        model=name(info["model"]),
        weights=name(info["weights"]),
        dtype=name(info["dtype"]),
        scaling=name(info["scaling"]),
        batch_size=count(info["batch_size"]),
        prompt_tokens=_lengths(info["prompt_tokens"]),
        new_tokens=_lengths(info["new_tokens"]),
    )


def _lengths(told: Any) -> Lengths:
    """One number for all requests, or one a request."""
    lengths = [count(length) for length in (told if isinstance(told, list | tuple) else [told])]
    return Lengths(min(lengths), max(lengths))
