"""Where this installation came from, and the commands that complete it.

The name of this package is nobody's on PyPI. Whoever takes it there would run code wherever a command names it alone,
so every command that is printed or written names a place, or packages of others.
"""

from __future__ import annotations

import json
import shlex
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "pytest-gpt-dist"
_FROM_ITS_PLACE = "install pytest-gpt-dist with pip from its repository or folder"


def origin() -> str | None:
    """Return what pip installs this package from once more: an address, with the commit of a repository, or a folder.

    None where the installer left no word of it, as where an index was asked by name.
    """
    found = _installed()
    if found is None:
        return None
    try:
        return read_origin(json.loads(found.read_text("direct_url.json") or "null"))
    except (ValueError, OSError):
        return None


def read_origin(told: Any) -> str | None:
    """Return the place that a ``direct_url.json`` tells of (PEP 610), None where it tells of none. Pure."""
    if not isinstance(told, dict) or not isinstance(url := told.get("url"), str):
        return None
    if isinstance(told.get("dir_info"), dict):
        return unquote(urlsplit(url).path) or None
    repository = told.get("vcs_info")
    if isinstance(repository, dict):
        url = f"{repository.get('vcs')}+{url}@{repository.get('commit_id')}"
    inside = told.get("subdirectory")
    return f"{url}#subdirectory={inside}" if isinstance(inside, str) else url


def requirement(place: str) -> str:
    """Return the line with which a project asks for this package from a place."""
    return f"{NAME} @ {Path(place).absolute().as_uri() if '://' not in place else place}"


def install_extra(extra: str) -> str:
    """Return the command that installs what an extra brings."""
    brought = [_without_marker(needed) for needed in _needed() if _is_of(needed, extra)]
    return _install(brought) if brought else f"{_FROM_ITS_PLACE}, with its extra {extra}"


def install_needed(package: str) -> str:
    """Return the command that installs one of the packages that this one always needs."""
    brought = [_without_marker(needed) for needed in _needed() if needed.name == package]
    return _install(brought[:1]) if brought else _FROM_ITS_PLACE


def install_itself() -> str:
    """Return how to install this package, where it runs without being installed."""
    source = Path(__file__).parents[2]
    return _install([str(source)]) if (source / "pyproject.toml").is_file() else _FROM_ITS_PLACE


def _install(what: list[str]) -> str:
    return shlex.join(["pip", "install", *what])


def _is_of(needed: Requirement, extra: str) -> bool:
    """Whether an extra brings it that is not needed anyway."""
    marker = needed.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _without_marker(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"


@cache
def _needed() -> tuple[Requirement, ...]:
    from packaging.requirements import Requirement  # noqa: PLC0415  slow to import, and seldom needed

    found = _installed()
    return tuple(Requirement(text) for text in (found.requires if found is not None else None) or ())


def _installed() -> Distribution | None:
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        return None
