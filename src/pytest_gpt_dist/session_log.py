"""The file in which the session's own process says what it did, beside the files of its ranks."""

from __future__ import annotations

import logging
from pathlib import Path

from pytest_gpt_dist.errors import UsageError

FILE = "session.log"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class SessionLog:
    """Has what the package logs in this process written to a file of ``folder`` as well, until it is closed.

    Information is always written, as there is little of it; details only where ``level`` is ``debug``.
    UsageError where the file cannot be written.
    """

    def __init__(self, folder: Path, level: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handler = logging.FileHandler(folder / FILE, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--gpt-log-dir={folder}: cannot write there ({error.strerror})") from None
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        self._logger = logging.getLogger(__package__)
        self._level_before = self._logger.level
        self._logger.setLevel(logging.DEBUG if level == "debug" else logging.INFO)
        self._logger.addHandler(self._handler)

    def close(self) -> None:
        """Leave the logger as it was found."""
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level_before)
        self._handler.close()
