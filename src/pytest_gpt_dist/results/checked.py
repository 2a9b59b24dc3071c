"""The checks of a saved case: of single entries, and of those that every reader of one needs.

Each returns what it was given, checked. TypeError, ValueError or OverflowError where it is not what it must be; whoever
reads a whole case catches ``UNREADABLE`` and loses that case alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from pytest_gpt_dist.errors import UsageError, first_line, one_line, quoted

T = TypeVar("T")
UNREADABLE = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What a value of any kind in the place of any other may raise."""
_LARGEST = 1e30
_SHORTEST_S, _LONGEST_S = 1e-12, 1e9
"""Seconds a token. No machine is beyond, and no ratio, logarithm or square of times between them overflows."""
_MOST_NESTED = 8
_SIMPLE = (str, int, float, type(None))


def reason(error: BaseException) -> str:
    """Return in a line why a saved case cannot be used, of what its check raised."""
    said = first_line(error)
    return one_line(said if isinstance(error, UsageError) else f"{type(error).__name__}: {said}")


def maybe(read: Callable[[Any], T], value: Any) -> T | None:
    """Return what ``read`` makes of it; None of None."""
    return None if value is None else read(value)


def number(value: Any) -> float:
    """Return a finite number, below 0 too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TypeError(f"{quoted(value)} is no figure")
    return float(value)


def amount(value: Any) -> float:
    """Return a number that is not below 0."""
    if number(value) < 0:
        raise ValueError(f"{quoted(value)} is below 0")
    return float(value)


def positive(value: Any) -> float:
    """Return a number above 0."""
    if number(value) <= 0:
        raise ValueError(f"{quoted(value)} is not above 0")
    return float(value)


def time_s(value: Any) -> float:
    """Return seconds per token that a machine can take."""
    if not isinstance(value, (float, int)) or not _SHORTEST_S <= value <= _LONGEST_S or value is True:
        raise ValueError(f"{quoted(value)} is no time")
    return float(value)


def count(value: Any) -> int:
    """Return a whole number from 1."""
    if not isinstance(value, int) or number(value) < 1:
        raise TypeError(f"{quoted(value)} is no count")
    return value


def flag(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{quoted(value)} is neither true nor false")
    return value


def name(value: Any) -> str:
    """Return a text that is not empty, in one line."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{quoted(value)} is no name")
    return one_line(value)


def names(values: Any) -> list[str]:
    """Return a list of such texts."""
    return [name(value) for value in _listed(values)]


def entries(value: Any) -> Mapping[str, Any]:
    """Return a mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{quoted(value)} has no entries")
    return value


def bytes_by_rank(values: Any, ranks: int) -> tuple[int | None, ...]:
    """Return sizes, one a rank; None is what a rank could not tell."""
    if not isinstance(values, list | tuple) or len(values) != ranks:
        raise ValueError(f"{quoted(values)} is no list of {ranks} sizes")
    return tuple(None if value is None else int(amount(value)) for value in values)


def launches(values: Any) -> tuple[tuple[float, ...], ...]:
    """Return the rounds of each launch, in seconds per token: at least one launch, and one round in each."""
    found = tuple(tuple(map(time_s, _listed(rounds))) for rounds in _listed(values))
    if not found or not all(found):
        raise ValueError(f"{quoted(values)} has a launch without a round, or no launch")
    return found


def fingerprint(value: Any) -> Mapping[str, Any]:
    """Return a fingerprint, whose values are not nested without end."""
    frozen(entries(value))
    return value  # type: ignore[no-any-return]


def frozen(value: Any, most_nested: int = _MOST_NESTED) -> Hashable:
    """Return a key that is equal for equal JSON values, whether a sequence is a list or a tuple."""
    if isinstance(value, _SIMPLE):
        return value
    if most_nested == 0:
        raise ValueError(f"values are nested more than {_MOST_NESTED} times")
    inside = most_nested - 1
    if isinstance(value, list | tuple):
        return tuple([frozen(each, inside) for each in value])
    # Nearly all values are simple, and of a thousand sessions there are hundreds of thousands.
    return frozenset(
        [
            (key, each if isinstance(each, _SIMPLE) else frozen(each, inside))
            for key, each in entries(value).items()
        ]
    )


def _listed(values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{quoted(values)} is no list")
    return values
