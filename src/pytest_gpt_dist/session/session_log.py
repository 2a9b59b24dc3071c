"""The file in which the session's own process says what it did, beside the files of its ranks."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from pytest_gpt_dist.errors import UsageError

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class SessionLog:
    """Has what the package logs in this process written to ``session.log`` in a folder, until it is closed.

    A ``worker`` of xdist has a file of its own, such as ``session-gw0.log``. Information is always written, as
    there is little of it; details only where ``level`` is ``debug``. UsageError where the file cannot be written;
    it begins with the ``option`` that asked for it, as it was written.
    """

    def __init__(
        self, folder: Path, level: str, worker: str | None = None, option: str | None = None
    ) -> None:
        name = "session.log" if worker is None else f"session-{worker}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handler = logging.FileHandler(folder / name, encoding="utf-8")
        except OSError as error:
            raise _cannot_write(folder, error, option) from None
        self._handler.setFormatter(logging.Formatter(_FORMAT))
        self._logger = logging.getLogger("pytest_gpt_dist")
        self._level_before = self._logger.level
        self._logger.setLevel(logging.DEBUG if level == "debug" else logging.INFO)
        self._logger.addHandler(self._handler)

    def close(self) -> None:
        """Leave the logger as it was found."""
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level_before)
        self._handler.close()


def check_writable(folder: Path, option: str | None = None) -> None:
    """Find out before workers of xdist are started, which could not say it in one line; UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error, option) from None


def _cannot_write(folder: Path, error: OSError, option: str | None) -> UsageError:
    return UsageError(f"{option or f'--gpt-log-dir={folder}'}: cannot write there ({error.strerror})")
