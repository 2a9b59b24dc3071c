"""Single entries of a saved case, each checked for what it must be. TypeError or ValueError where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pytest_gpt_dist.results.text import one_line

T = TypeVar("T")
_LARGEST = 1e30


def maybe(read: Callable[[Any], T], value: Any) -> T | None:
    """What ``read`` makes of it; None of None."""
    return None if value is None else read(value)


def number(value: Any) -> float:
    """A finite one, below 0 too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TypeError(f"{value!r} is no figure")
    return float(value)


def amount(value: Any) -> float:
    """A number that is not below 0."""
    if number(value) < 0:
        raise ValueError(f"{value!r} is below 0")
    return float(value)


def positive(value: Any) -> float:
    """A number above 0."""
    if number(value) <= 0:
        raise ValueError(f"{value!r} is not above 0")
    return float(value)


def count(value: Any) -> int:
    """A whole number from 1."""
    if not isinstance(value, int) or number(value) < 1:
        raise TypeError(f"{value!r} is no count")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def name(value: Any) -> str:
    """A text that is not empty, in one line."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no name")
    return one_line(value)


def names(values: Any) -> list[str]:
    """A list of such texts."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{values!r} is no list")
    return [name(value) for value in values]


def entries(value: Any) -> Mapping[str, Any]:
    """A mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} has no entries")
    return value


def bytes_by_rank(values: Any, ranks: int) -> tuple[int | None, ...]:
    """Sizes, one a rank; None is what a rank could not tell."""
    if not isinstance(values, list | tuple) or len(values) != ranks:
        raise ValueError(f"{values!r} is no list of {ranks} sizes")
    return tuple(None if value is None else int(amount(value)) for value in values)
