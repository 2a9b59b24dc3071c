"""The files of a model's folder: opened and read with bounded memory, and with the true cause where that fails."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pytest_gpt_dist.errors import UsageError, first_line


def is_there(path: Path) -> bool:
    """Return whether there may be something of that name: also where nobody can look, so that opening it says why."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_file_name(name: str) -> bool:
    """Return whether a text can be the name of a file in a folder, and nothing else."""
    return (
        name.isprintable() and "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= 255
    )


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe would block, and a device such as /dev/zero never ends.

    Raises:
        UsageError: when it is none, or cannot be opened or read; it says what the system says.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UsageError(f"{file}: is not a regular file")
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from error


def read_json(file: Path, most_bytes: int, loads: Callable[[str], Any] = json.loads) -> Any:
    """Return what a small JSON file holds.

    Raises:
        UsageError: when it cannot be read, is no JSON, or is larger than ``most_bytes``.
    """
    with opened(file) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UsageError(f"{file}: is larger than the {most_bytes / 2**20:g} MiB that such a file may have")
    try:
        return loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: cannot be read as JSON ({first_line(error)})") from error
