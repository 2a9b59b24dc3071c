"""A line on the terminal that says how far a command is, and is gone when it ends."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

_PATIENCE_S = 2.0
_INTERVAL_S = 0.2


def is_watched(is_terminal: bool) -> bool:
    """Not so of one that cannot move its cursor, nor in CI: its logs are read later, whatever pretends a terminal."""
    return is_terminal and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


class StatusLine:
    """Writes over itself on the standard error; silent where that is no terminal, and in CI.

    Whoever prints takes it away first.
    """

    def __init__(self) -> None:
        self._enabled = sys.stderr is not None and is_watched(sys.stderr.isatty())
        self._due_s = time.monotonic() + _PATIENCE_S
        self._written = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def say(self, text: str) -> None:
        """Show what begins now, and is known to take its time."""
        if self._enabled:
            room = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
            self._written = True  # first: Ctrl-C may come at any moment
            self._write(f"\r{text[:room]}\x1b[K")
            self._due_s = time.monotonic() + _INTERVAL_S

    def count(self, text: str) -> None:
        """Show how far it is; not in the first seconds, and not more often than it can be read."""
        if self._enabled and time.monotonic() >= self._due_s:
            self.say(text)

    def clear(self) -> None:
        """Take the line away."""
        if self._written:
            self._write("\r\x1b[K")
            self._written = False

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
