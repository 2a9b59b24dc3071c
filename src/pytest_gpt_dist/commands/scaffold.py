"""The files with which a repository begins to measure: this project's own, kept in the package."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, quoted

WORKFLOW = ".github/workflows/gpu-benchmarks.yml"
CONFTEST = "conftest.py"
FILES = ("benchmarks/test_inference.py", CONFTEST, WORKFLOW)
HOOK = b"pytest_benchmark_group_stats"
State = Literal["missing", "present", "different"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_PLACE = re.compile(rb'(?<=PYTEST_GPT_DIST: )".*"')
# What pip takes for a place and not for a name. GitHub replaces ${{ … }} wherever it stands.
_A_PLACE = re.compile(r"(?:[a-z][a-z+]*://|\.{0,2}/)(?!.*\$\{\{)[^\0-\x1f\x7f-\x9f]*")


def template(name: str, place: str = "") -> bytes:
    """Return what the file of that name is to hold, where a workflow installs this package from a place.

    UsageError for what is no place: a bare name is somebody else's to register.
    """
    if place and (_A_PLACE.fullmatch(place) is None or len(place) > LONGEST_PATH):
        raise UsageError(
            f"{quoted(place)} is no place to install from: give an address such as git+https://…@COMMIT,"
            " or a folder such as ./vendor/pytest-gpt-dist"
        )
    return _PLACE.sub(lambda _: json.dumps(place).encode(), (_TEMPLATES / name).read_bytes())


def state(folder: Path, name: str) -> State:
    """Return what a folder has of that file. UsageError where nobody could look.

    Where the workflow installs this package from, and what a conftest.py does besides, is the user's own business.
    """
    path = folder / name
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return "different" if path.is_symlink() else "missing"
    except IsADirectoryError:
        return "different"
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if name == CONFTEST and HOOK in found:
        return "present"
    return "present" if _PLACE.sub(b'""', found) == template(name) else "different"


def place_files(folder: Path, place: str) -> Iterator[tuple[str, State]]:
    """Write each file that is missing; yield every name with what was found, as soon as it is done.

    What is there stays as it is, whatever it holds: the files serve without each other. UsageError where
    the folder does not exist, or cannot be written.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is no folder: give that of a repository with --path")
    contents = {name: template(name, place) for name in FILES}
    for name, content in contents.items():
        found = state(folder, name)
        if found == "missing":
            _write(folder / name, content)
        yield name, found


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
