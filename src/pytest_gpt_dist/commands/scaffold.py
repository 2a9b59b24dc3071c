"""The files with which a repository begins to measure: this project's own, kept in the package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pytest_gpt_dist.errors import UsageError

FILES = ("benchmarks/test_inference.py", "benchmarks/conftest.py", ".github/workflows/gpu-benchmarks.yml")
State = Literal["missing", "identical", "different"]

_TEMPLATES = Path(__file__).parents[1] / "templates"


def template(name: str) -> bytes:
    """What the file of that name is to hold."""
    return (_TEMPLATES / name).read_bytes()


def state(folder: Path, name: str) -> State:
    """What a folder has of that file. UsageError where nobody could look."""
    path = folder / name
    try:
        return "identical" if path.read_bytes() == template(name) else "different"
    except FileNotFoundError:
        return "different" if path.is_symlink() else "missing"
    except IsADirectoryError:
        return "different"
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def place(folder: Path) -> Iterator[tuple[str, State]]:
    """Write each file that is missing; yield every name with what was found, as soon as it is done.

    What is there stays as it is, whatever it holds: the files serve without each other. UsageError where
    the folder does not exist, or cannot be written.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is no folder: give that of a repository with --path")
    for name in FILES:
        found = state(folder, name)
        if found == "missing":
            _write(folder / name, template(name))
        yield name, found


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
