"""The one error that a user's input can cause, and how values, texts and other errors are told in a line."""

from __future__ import annotations

from math import log10
from reprlib import Repr

LONGEST_PATH = 4096
_LONGEST = 200
_LONGEST_LINE = 2 * LONGEST_PATH  # so that no path loses its middle
_LONGEST_VALUE = 100
_LONGEST_NUMBER = 40
_LONGEST_REASON = 300


class UsageError(ValueError):
    """Wrong input, said in one line: what, where, and what to do about it.

    Whatever is put into the message stays one line that a terminal can show: what cannot be printed is escaped, and
    what is far too long loses its middle. Values are quoted by `quoted`, which shortens them alone.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(_text(message), _LONGEST_LINE))


def quoted(value: object) -> str:
    """Return a value as a message quotes it: in Python's notation, on one line, shortened where it is long.

    It costs little, however large the value is.
    """
    return shortened(_SHORT.repr(value), _LONGEST_VALUE)


def shortened(text: str, longest: int = _LONGEST_VALUE) -> str:
    """Return a text on one line, with what cannot be printed escaped, and without its middle where it is long.

    A message begins with where something is wrong and ends with what: both stay.
    """
    half = longest // 2
    shown = "".join(map(_printable, text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"))
    return shown if len(shown) <= longest + 1 else f"{shown[:half]}…{shown[-half:]}"


def one_line(value: object, longest: int = _LONGEST) -> str:
    """Return a text as it can stand in a cell, on a terminal and in a picture.

    It is one line of bounded length, without what would command a terminal, reorder its neighbours, or be invisible.
    """
    printable = "".join(mark if mark.isprintable() else " " for mark in _text(value)[: 4 * longest])
    text = " ".join(printable.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which gets an s unless there is one."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def first_line(error: BaseException) -> str:
    """Return what an error says first, for where there is a line and no more."""
    return shortened(str(error).partition("\n")[0], _LONGEST_REASON)


def _text(value: object) -> str:
    """Its text; of what has none that is of any length, its type."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


class _Short(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = 60

    def repr_int(self, x: int, level: int) -> str:
        # Python itself refuses to write numbers of more than some thousand digits.
        digits = round(x.bit_length() * log10(2))
        return repr(x) if digits <= _LONGEST_NUMBER else f"a whole number of about {digits:,} digits"


_SHORT = _Short()
