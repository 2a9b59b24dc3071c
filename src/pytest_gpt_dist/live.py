"""A line on the terminal that says what the running case does, and is gone when it ends."""

from __future__ import annotations

import sys
import time

import pytest

_INTERVAL_S = 0.1
_SAVE, _RESTORE, _ERASE = "\x1b7", "\x1b8", "\x1b[K"


class LiveLine:
    """Writes behind what pytest has printed and takes it back; silent where the output is no terminal.

    The cursor is put back each time, so that pytest's next words overwrite the line.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._terminal = config.get_terminal_writer()
        reporter = config.pluginmanager.getplugin("terminalreporter")
        # Markup alone does not tell: CI asks for colours in what is a file.
        on_terminal = (
            bool(reporter.isatty) and self._terminal.hasmarkup and not hasattr(config, "workerinput")
        )
        self._enabled = on_terminal and config.get_verbosity() >= 0 and not _others_write(config)
        self._about = ""
        self._written_at_s = float("-inf")

    def show(self, text: str) -> None:
        """Replace the line's text; another count of the same thing waits its turn."""
        now_s = time.monotonic()
        about = text.rstrip("0123456789 of%")
        if not self._enabled or (about == self._about and now_s - self._written_at_s < _INTERVAL_S):
            return
        self._about, self._written_at_s = about, now_s
        room = self._room()
        if room > 0:
            self._write(f"{_SAVE} {text[:room]}{_ERASE}{_RESTORE}")

    def clear(self) -> None:
        """Take the line away."""
        if self._enabled and self._written_at_s > float("-inf"):
            self._written_at_s = float("-inf")
            self._write(_ERASE)

    def _room(self) -> int:
        """Columns behind what pytest has printed, which a long name may have wrapped; none where a line just ends."""
        printed, width = self._terminal.width_of_current_line, self._terminal.fullwidth
        return 0 if printed and printed % width == 0 else int(width - printed % width - 2)

    def _write(self, text: str) -> None:
        if self._capture is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        with self._capture.global_and_fixture_disabled():
            sys.stdout.write(text)
            sys.stdout.flush()


def _others_write(config: pytest.Config) -> bool:
    """Whether tests or their logs go to the terminal while they run: a line among them would break theirs."""
    logs = config.pluginmanager.hasplugin("logging") and (
        config.getini("log_cli") or config.getoption("log_cli_level") is not None
    )
    return bool(logs) or config.getoption("capture", None) == "no"
