"""A line on the terminal that says what the running case does, and is gone when it ends."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext

import pytest

from pytest_gpt_dist.terminal.encoding import encodable
from pytest_gpt_dist.terminal.status_line import is_watched

_INTERVAL_S = 0.1
_SAVE, _RESTORE, _ERASE = "\x1b7", "\x1b8", "\x1b[K"


class LiveLine:
    """Writes behind what pytest has printed and takes it back; silent where the output is no terminal, and in CI.

    The cursor is put back each time, so that pytest's next words overwrite the line.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._enabled = _on_terminal(config) and config.get_verbosity() >= 0 and not _others_write(config)
        self._config = config
        self._about = ""
        self._written_at_s = float("-inf")

    def show(self, text: str) -> None:
        """Replace the line's text; another count of the same thing waits its turn."""
        now_s = time.monotonic()
        about = text.rstrip("0123456789 of%")
        if not self._enabled or (about == self._about and now_s - self._written_at_s < _INTERVAL_S):
            return
        self._about, self._written_at_s = about, now_s
        with self._uncaptured():
            if (room := self._room()) > 0:
                _write(f"{_SAVE} {text[:room]}{_ERASE}{_RESTORE}")

    def clear(self) -> None:
        """Take the line away."""
        if self._enabled and self._written_at_s > float("-inf"):
            self._written_at_s = float("-inf")
            with self._uncaptured():
                _write(_ERASE)

    def _uncaptured(self) -> AbstractContextManager[None]:
        """Return the terminal itself: while pytest captures, its width cannot be asked for either."""
        if self._capture is None:
            return nullcontext()
        disabled: AbstractContextManager[None] = self._capture.global_and_fixture_disabled()
        return disabled

    def _room(self) -> int:
        """Columns behind what pytest has printed, which a long name may have wrapped; none where a line just ends."""
        terminal = self._config.get_terminal_writer()
        printed, width = terminal.width_of_current_line, terminal.fullwidth
        return 0 if printed and printed % width == 0 else width - printed % width - 2


def _write(text: str) -> None:
    sys.stdout.write(encodable(text, sys.stdout.encoding or "utf-8"))
    sys.stdout.flush()


def _on_terminal(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter is not None and not hasattr(config, "workerinput") and is_watched(bool(reporter.isatty))


def _others_write(config: pytest.Config) -> bool:
    """Whether tests or their logs go to the terminal while they run: a line among them would break theirs."""
    logs = config.pluginmanager.hasplugin("logging") and (
        config.getini("log_cli") or config.getoption("log_cli_level") is not None
    )
    return bool(logs) or config.getoption("capture", None) == "no"
