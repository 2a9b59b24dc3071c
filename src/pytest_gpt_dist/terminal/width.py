"""How many columns what is printed may have."""

from __future__ import annotations

import os
import shutil

UNWATCHED_COLUMNS = 100
"""Of what is no terminal: a pipe, a file, or the log of a CI job, which is read in a browser."""


def output_columns(is_terminal: bool) -> int:
    """Return the terminal's width, and a fixed one for what is none; ``COLUMNS`` in the environment wins over both."""
    if not is_terminal and not os.environ.get("COLUMNS"):
        return UNWATCHED_COLUMNS
    return shutil.get_terminal_size((UNWATCHED_COLUMNS, 24)).columns
