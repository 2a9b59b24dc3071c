"""Devices that one session has at a time: locks that all sessions of a machine see, and that end with their process."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from pytest_gpt_dist.errors import UsageError, counted

_LOOK_AGAIN_S = 0.2
_GATE = "gate"


class Lease:
    """Some devices, held until they are released or this process ends; `numbers` says which, by their place."""

    def __init__(self, numbers: tuple[int, ...], locks: Sequence[FileLock]) -> None:
        self.numbers = numbers
        self._locks = locks

    def release(self) -> None:
        """Let others have them; does nothing the second time."""
        for lock in self._locks:
            lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease(
    names: Sequence[str],
    count: int,
    wait_s: float,
    tell: Callable[[str], None],
    folder: Path | None = None,
) -> Lease:
    """Lease so many of the devices of these names, the first ones that are free, all at once.

    Nothing is held while others are waited for, so that sessions which need several devices never wait for each other.
    ``tell`` is told, once, that there is something to wait for. UsageError after ``wait_s``.
    """
    place = folder or Path(tempfile.gettempdir()) / "gpt-dist-devices"
    _make(place)
    end_s = time.monotonic() + wait_s
    told = False
    while True:
        if (found := _free(place, names, count)) is not None:
            return found
        if time.monotonic() >= end_s:
            raise UsageError(
                f"other sessions use the devices: {count} of {', '.join(names)} were not free within {wait_s:g} s;"
                " wait for them, or raise --gpt-wait"
            )
        if not told:
            tell(f"waiting for other sessions to free {counted(count, 'device')} of {', '.join(names)}")
            told = True
        time.sleep(_LOOK_AGAIN_S * random.uniform(0.5, 1.5))


def _free(place: Path, names: Sequence[str], count: int) -> Lease | None:
    """Return the first devices that are free; None, and nothing held, where there are too few."""
    held: list[FileLock] = []
    numbers: list[int] = []
    try:
        # One session looks at a time: two that took a part each would both go away with nothing.
        with _lock(place, _GATE).acquire(timeout=1.0):
            for number, name in enumerate(names):
                lock = _lock(place, name)
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                    held.append(lock)
                    numbers.append(number)
                if len(numbers) == count:
                    return Lease(tuple(numbers), held)
    except Timeout:
        return None
    except OSError as error:
        Lease((), held).release()
        raise UsageError(f"{place}: devices cannot be locked there ({error.strerror}); set TMPDIR") from None
    except BaseException:
        Lease((), held).release()
        raise
    Lease((), held).release()
    return None


def _lock(place: Path, name: str) -> FileLock:
    return FileLock(place / f"{name}.lock", mode=0o666, thread_local=False)


def _make(place: Path) -> None:
    """Make the folder of the locks, which every user of the machine may add to."""
    try:
        place.mkdir(mode=0o1777, exist_ok=True)
        with suppress(PermissionError):  # somebody else's, who has done it
            os.chmod(place, 0o1777)
    except OSError as error:
        raise UsageError(f"{place}: devices cannot be locked there ({error.strerror}); set TMPDIR") from None
