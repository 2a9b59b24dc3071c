"""How texts that others wrote, and many names, come into one line of bounded length."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PATH = 4096
REVISION_DIGITS = 12
_LONGEST = 200
_MOST_NAMED = 3
_MOST_DIGITS = 4


def one_line(value: object, longest: int = _LONGEST) -> str:
    """A text as it can stand in a cell, on a terminal and in a picture: printable, one line, and of bounded length."""
    printable = "".join(mark if mark.isprintable() else " " for mark in str(value)[: 4 * longest])
    text = " ".join(printable.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def first_of(names: Sequence[str], separator: str = ", ") -> str:
    """The first three, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return separator.join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def share(value: float, target: float) -> str:
    """In percent, with as many digits as show on which side of a target it is."""
    for digits in range(_MOST_DIGITS):
        text = f"{value:.{digits}%}"
        if (float(text[:-1]) / 100 >= target) == (value >= target):
            return text
    return f"{value:.{_MOST_DIGITS}%}"
