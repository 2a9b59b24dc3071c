"""Whose code ranks run: the interpreter that they are forked from, and where it imports from."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PACKAGE_PARENT = Path(__file__).parents[2]
_LIBRARIES = ("site-packages", "dist-packages")


def environments_in(repository: Path) -> list[Path]:
    """Return the environments that lie in a repository; one that the repository lies in hides nothing of it."""
    prefixes = {Path(os.path.realpath(prefix)) for prefix in (sys.prefix, sys.base_prefix)}
    return [prefix for prefix in prefixes if prefix != repository and prefix.is_relative_to(repository)]


def is_library(path: Path) -> bool:
    """Whether a path below a repository is that of an installed package."""
    return any(part in _LIBRARIES for part in path.parts)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison; by default the controller's own.

    `repository` is the folder whose code is under test. With a `worktree` its files stand for those of the
    repository; with another `python`, that interpreter's own modules come first, and those of the
    repository serve where it has none.
    """

    python: str = sys.executable
    repository: Path | None = None
    worktree: Path | None = None

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the side's server: with a worktree, it imports this package from there."""
        environment = dict(given)
        if self.python != sys.executable:
            environment.pop("PYTHONHOME", None)
        if self.worktree is not None and self._is_under_test(_PACKAGE_PARENT):
            paths = [str(self._moved(_PACKAGE_PARENT)), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return environment

    def sys_path(self, controllers: Sequence[str], servers: Sequence[str]) -> tuple[str, ...]:
        """Return the ranks' sys.path, made from the controller's and from that which their server started with."""
        entries = [os.path.abspath(path) for path in controllers]
        if self.worktree is not None:
            return tuple(str(self._moved(path)) if self._is_under_test(path) else path for path in entries)
        if self.python != sys.executable:
            added = (path for path in entries if self._is_under_test(path) and path not in servers)
            return (*servers, *added)
        return tuple(entries)

    def _is_under_test(self, path: str | Path) -> bool:
        """Whether a path is in the repository and not in an environment that lies there."""
        real = Path(os.path.realpath(path))
        if self.repository is None or not real.is_relative_to(self.repository):
            return False
        inside = (real.is_relative_to(environment) for environment in environments_in(self.repository))
        return not any(inside) and not is_library(real.relative_to(self.repository))

    def _moved(self, path: str | Path) -> Path:
        assert self.repository is not None
        assert self.worktree is not None
        return self.worktree / Path(os.path.realpath(path)).relative_to(self.repository)


OWN = Side()
"""The controller's interpreter and modules."""
