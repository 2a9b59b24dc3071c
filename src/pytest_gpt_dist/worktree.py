"""A revision's files beside the working tree, as git worktrees."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist.errors import UsageError

_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Worktree:
    """The files of a revision (a full commit id) of ``repository``, checked out in ``folder``."""

    repository: Path
    revision: str
    folder: Path

    def remove(self) -> None:
        """Delete the files and git's note of them."""
        _git(self.repository, "worktree", "remove", "--force", str(self.folder))


def find_revision(folder: Path, name: str) -> tuple[Path, str] | None:
    """The repository that holds ``folder`` and the id of the commit ``name``; None if there is no such commit."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if top.returncode or commit.returncode:
        return None
    return Path(top.stdout.strip()).resolve(), commit.stdout.strip()


def add_worktree(repository: Path, revision: str, folder: Path) -> Worktree:
    """Check a commit out into ``folder``, which must not exist. UsageError where git cannot."""
    _git(repository, "worktree", "prune")  # of those whose session was killed
    done = _git(repository, "worktree", "add", "--detach", "--quiet", str(folder), revision)
    if done.returncode:
        raise UsageError(
            f"git cannot check {revision[:12]} out beside {repository}: {_last_line(done.stderr)}"
        )
    return Worktree(repository, revision, folder)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_DEADLINE_S,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"git {arguments[0]} took longer than {_DEADLINE_S:g} s in {folder}") from None


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "it does not say why"
