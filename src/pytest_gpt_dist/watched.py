"""Whether somebody reads a terminal while it is written to."""

import os


def is_watched(is_terminal: bool) -> bool:
    """Not so of one that cannot move its cursor, nor in CI: its logs are read later, whatever pretends a terminal."""
    return is_terminal and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
