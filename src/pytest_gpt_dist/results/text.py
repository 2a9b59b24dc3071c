"""How texts come to where people read them: into Markdown, and many into a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_gpt_dist.errors import counted

REVISION_DIGITS = 12
_MOST_NAMED = 3
_MOST_LINES = 10
_MOST_DIGITS = 4

# Underscores inside a word are no emphasis, and brackets no link without an address: case names are full of both.
_MARKUP = re.compile(r"[\\`*{}<>|#~&@$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|\bwww(?=\.)")
_BEGINNING = re.compile(r"^(\s*\d*)([-+=.)\[])")


def first_of(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first three, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return separator.join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def first_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the first ten, and a line with how many more there are."""
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], *([f"and {counted(more, 'more such line')}"] if more > 0 else []))


def share(value: float, target: float) -> str:
    """Return a share in percent, with as many digits as show on which side of a target it is."""
    for digits in range(_MOST_DIGITS):
        text = f"{value:.{digits}%}"
        if (float(text[:-1]) / 100 >= target) == (value >= target):
            return text
    return f"{value:.{_MOST_DIGITS}%}"


def escape(text: str) -> str:
    """Return a text inside a line, with entities for all that Markdown, or GitHub's, could take for markup."""
    return _MARKUP.sub(lambda found: "".join(map(_entity, found[0])), text)


def escape_line(text: str) -> str:
    """Return a text that a line begins with, where more is markup: lists, tasks, underlines of headings."""
    return _BEGINNING.sub(lambda found: found[1] + _entity(found[2]), escape(text))


def _entity(mark: str) -> str:
    return f"&#{ord(mark)};"
