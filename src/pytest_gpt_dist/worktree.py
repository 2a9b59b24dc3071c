"""A revision's files beside the working tree, as git worktrees."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist.errors import UsageError

_DEADLINE_S = 120.0
_OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")


@dataclass(frozen=True, slots=True)
class Worktree:
    """The files of a revision (a full commit id) of ``repository``, checked out in ``folder``."""

    repository: Path
    revision: str
    folder: Path

    def remove(self) -> None:
        """Delete the files and git's note of them, as far as that is possible."""
        with suppress(UsageError):
            _git(self.repository, "worktree", "remove", "--force", "--force", str(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)


def find_revision(folder: Path, name: str) -> tuple[Path, str] | None:
    """The repository that holds ``folder`` and the id of the commit ``name``; None if it has no such commit.

    UsageError where there is no repository that git would read.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top.returncode:
        raise UsageError(f"{folder} is in no git repository that can be read: {_last_line(top.stderr)}")
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit.returncode:
        return None
    return Path(top.stdout.removesuffix("\n")).resolve(), commit.stdout.strip()


def add_worktree(repository: Path, revision: str, folder: Path) -> Worktree:
    """Check a commit out into ``folder``, which must not exist. UsageError where git cannot."""
    worktree = Worktree(repository, revision, folder)
    try:
        done = _git(
            repository, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", "--quiet",
            str(folder), revision,
        )  # fmt: skip
        if done.returncode:
            raise UsageError(
                f"git cannot check {revision[:12]} out beside {repository}: {_last_line(done.stderr)}"
            )
    except BaseException:
        worktree.remove()
        raise
    return worktree


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, whatever repository a hook that runs us has put into the environment."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=_DEADLINE_S,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"git took longer than {_DEADLINE_S:g} s in {folder}") from None


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "it does not say why"
