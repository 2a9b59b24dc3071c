"""Texts in the encoding of a terminal, with stand-ins in ASCII for what it lacks."""

from __future__ import annotations

import codecs

STAND_INS = "gpt_dist_stand_ins"
"""Name of the handler of encoding errors that writes what an encoding lacks in ASCII, for people."""
_IN_ASCII = {
    "·": "-", "×": "x", "–": "-", "—": "-", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "±": "+-", "−": "-",
    "°": "deg ", "√": "sqrt", "÷": "/", "µ": "u", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip


def encodable(text: str, encoding: str) -> str:
    """Return a text with stand-ins for what an encoding lacks."""
    return text.encode(encoding, STAND_INS).decode(encoding)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(mark) or _escaped(mark) for mark in lacking), error.end


def _escaped(mark: str) -> str:
    return mark.encode("ascii", "backslashreplace").decode()


codecs.register_error(STAND_INS, _stand_in)
