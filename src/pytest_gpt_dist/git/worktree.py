"""A revision's files beside the working tree, as git worktrees."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.git.run import git

_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Worktree:
    """The files of a revision (a full commit id) of ``repository``, checked out in ``folder``."""

    repository: Path
    revision: str
    folder: Path

    def remove(self) -> None:
        """Delete the files and git's note of them, as far as that is possible."""
        with suppress(UsageError):
            git(
                self.repository,
                "worktree",
                "remove",
                "--force",
                "--force",
                str(self.folder),
                deadline_s=_DEADLINE_S,
            )
        shutil.rmtree(self.folder, ignore_errors=True)


def find_revision(folder: Path, name: str) -> tuple[Path, str] | None:
    """Return the repository that holds ``folder`` and the id of the commit ``name``; None if it has no such commit.

    UsageError where there is no repository that git would read.
    """
    top = git(folder, "rev-parse", "--show-toplevel", deadline_s=_DEADLINE_S)
    if top.returncode:
        raise UsageError(f"{folder} is in no git repository that can be read: {_last_line(top.stderr)}")
    commit = git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}",
        deadline_s=_DEADLINE_S,
    )  # fmt: skip
    if commit.returncode:
        return None
    return Path(os.fsdecode(top.stdout.removesuffix(b"\n"))).resolve(), commit.stdout.decode().strip()


def add_worktree(repository: Path, revision: str, folder: Path) -> Worktree:
    """Check a commit out into ``folder``, which must not exist. UsageError where git cannot."""
    worktree = Worktree(repository, revision, folder)
    try:
        done = git(
            repository, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", "--quiet",
            str(folder), revision, deadline_s=_DEADLINE_S,
        )  # fmt: skip
        if done.returncode:
            raise UsageError(
                f"git cannot check {revision[:12]} out beside {repository}: {_last_line(done.stderr)}"
            )
    except BaseException:
        worktree.remove()
        raise
    return worktree


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().rpartition("\n")[2] or "it does not say why"
