"""The one error that a user's input can cause, and how what others wrote comes into its one line."""

from __future__ import annotations

from reprlib import Repr

LONGEST_PATH = 4096
_LONGEST = 200
_LONGEST_MESSAGE = 2 * LONGEST_PATH
_LONGEST_QUOTED = 80


class UsageError(ValueError):
    """Wrong input, said in one line: what, where, and what to do about it.

    Whatever of a file or an option stands in it, the line is printable and of bounded length.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message, _LONGEST_MESSAGE))


def first_line(error: BaseException) -> str:
    """Return what an error says first, for where there is a line and no more."""
    return str(error).partition("\n")[0]


def one_line(value: object, longest: int = _LONGEST) -> str:
    """Return a text as it can stand in a cell, on a terminal and in a picture.

    It is one line of bounded length, without what would command a terminal, reorder its neighbours, or be invisible.
    """
    whole = value if isinstance(value, str) else _text(value)
    printable = "".join(mark if mark.isprintable() else " " for mark in whole[: 4 * longest])
    text = " ".join(printable.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(value: object, longest: int = _LONGEST_QUOTED) -> str:
    """Return a value from outside as a message quotes it: as in source code, its middle left out where it is long."""
    brief = Repr()
    brief.maxlevel, brief.maxdict, brief.maxlist, brief.maxtuple = 2, 3, 4, 4
    brief.maxstring = brief.maxlong = brief.maxother = longest
    try:
        return one_line(brief.repr(value), 2 * longest)
    except ValueError:  # an integer of more digits than Python writes
        return f"a value of type {type(value).__name__}"


def _text(value: object) -> str:
    """Its text; of what has none that is of any length, its type."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"
