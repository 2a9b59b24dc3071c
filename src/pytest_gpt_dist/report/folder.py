"""The folder of a report: whether one can be written there, and how files come into it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.installation import install_extra

NEEDED = ("matplotlib", "PIL", "jinja2")
"""What a report needs and a benchmark does not."""


@dataclass(frozen=True)
class File:
    """A file before it is written."""

    name: str
    content: bytes


def require_libraries(needed_for: str) -> None:
    """UsageError, with the command that helps, where a library is not installed. Imports none of them."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"{needed_for} needs {' and '.join(missing)}: {install_extra('report')}")


def check_writable(folder: Path) -> None:
    """UsageError where no file can be made in a folder. What has to be made to find out is removed again."""
    made: list[Path] = []
    try:
        for path in reversed((folder, *folder.parents)):
            if not path.exists():
                path.mkdir(exist_ok=True)  # another session may have made it meanwhile
                made.append(path)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from None
    finally:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()


def replace_files(folder: Path, files: Collection[File], is_stale: Callable[[str], bool]) -> list[Path]:
    """Write files in place of those of their names, and remove others whose names are stale; the paths written.

    None is replaced before there is room for all. UsageError where the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".report-", dir=folder) as beside:
            for file in files:
                (Path(beside) / file.name).write_bytes(file.content)
            for file in files:
                written.append((Path(beside) / file.name).replace(folder / file.name))
        for path in list(folder.iterdir()):
            if path not in written and is_stale(path.name):
                path.unlink()
    except OSError as error:
        raise _cannot_write(folder, error) from None
    return written


def _cannot_write(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{folder} cannot be written: {error.strerror}; choose another folder")
