"""Whether a process still lives that holds a folder or a file, which only the kernel knows.

A process id says nothing to a process in another container, nor on another machine. A lock of the kernel does: it
ends with the process that took it, by whatever cause, and disks that machines share have it too.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Hold:
    """What keeps others from a folder or a file until it is released, or until this process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def hold(path: Path) -> Hold | None:
    """Take hold of a folder or a file that is there; None if somebody else has it.

    OSError where it is not there, or no longer, and where the disk knows no locks.
    """
    # Some network disks lock only what is open for writing, which a folder cannot be.
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_NONBLOCK
    descriptor = os.open(path, flags | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            raise FileNotFoundError(f"{path} was replaced")
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return Hold(descriptor)
