"""Folders for what can be made again, and those of processes that could not remove theirs."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.holding import Hold, hold

_PREFIX = "gpt-dist-scratch-"


class Scratch:
    """A temporary folder, made when it is first asked for, and anew where somebody has removed it.

    It is held while it is used: what nobody holds was left behind by killed processes, and is removed by the next
    one that makes such a folder. systemd's cleaner of old files leaves alone what is held, too.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._hold: Hold | None = None

    @property
    def folder(self) -> Path:
        """The folder, which is there; UsageError where none can be made."""
        if self._folder is None or not self._folder.is_dir():
            self.close()
            try:
                _sweep()
                self._folder, self._hold = _make()
            except OSError as error:
                raise UsageError(
                    f"no temporary folder can be made ({error}); set TMPDIR to a disk that can be written"
                ) from None
        return self._folder

    def close(self) -> None:
        """Remove the folder, if there is one."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._hold is not None:
            self._hold.release()
        self._folder = self._hold = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make() -> tuple[Path, Hold | None]:
    """Return a new folder and the hold on it; no hold where the disk knows no locks, and so nobody sweeps."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        try:
            if (held := hold(folder)) is not None:
                return folder, held
        except FileNotFoundError:
            pass  # swept by another process before it was held
        except OSError:
            return folder, None


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if (left := hold(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                left.release()
