"""The other side of an A/B: what ``--gpt-against`` names, made ready for ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster import RankGroup, RankGroupError, Side
from pytest_gpt_dist.cluster.about import JOB_VERSION, modules_below
from pytest_gpt_dist.cluster.code_version import environments_in
from pytest_gpt_dist.cluster.launcher import OtherVersionError
from pytest_gpt_dist.errors import UsageError, shortened
from pytest_gpt_dist.git.worktree import Worktree, add_worktree, find_revision

_LONGEST_NAME = 4096
"""What no name of a revision comes near to; the system takes no argument of any length."""


@dataclass(frozen=True)
class Named:
    """What the option names: an interpreter, or a commit of a repository."""

    name: str
    python: str | None = None
    repository: Path | None = None
    revision: str | None = None
    option: str | None = None

    @property
    def what(self) -> str:
        """How the user wrote it, for messages."""
        return self.option or f"--gpt-against={self.name}"

    @property
    def identity(self) -> str:
        """What stays the same while the name may come to mean something else."""
        return self.revision or self.python or self.name


def find_against(name: str, rootdir: Path, cwd: Path, option: str | None = None) -> Named:
    """Return what ``name`` means: an executable file, else a revision. UsageError if it is neither.

    Messages name it by ``option``, as it was written.
    """
    # Of os.path, whose functions take any text, also one that no file can have for a name.
    path = os.path.abspath(os.path.join(cwd, os.path.expanduser(name)))
    revision = None
    if name.isprintable() and not (os.sep in name and os.path.isfile(path)):
        revision = find_revision(rootdir, name[:_LONGEST_NAME])
    if revision is not None:
        return Named(name, repository=revision[0], revision=revision[1], option=option)
    if os.path.isfile(path) and os.access(path, os.X_OK):
        return Named(name, python=path, repository=rootdir.resolve(), option=option)
    what = shortened(Named(name, option=option).what)
    raise UsageError(
        f"{what}: neither a revision of the git repository at {rootdir} nor a Python interpreter; a shallow clone has"
        " to fetch it first"
    )


@dataclass(frozen=True)
class Against:
    """The other side, ready to be started; ``close`` removes what was made for it.

    ``versions`` are those that it says it runs.
    """

    named: Named
    side: Side
    versions: dict[str, Any]
    worktree: Worktree | None

    def require_own_code(self, group: RankGroup, *, ran: bool) -> None:
        """UsageError if ranks of this side have imported code under test from elsewhere than its revision.

        That is from the working tree, as where an editable install finds modules by other means than
        ``sys.path``, or, once they ``ran`` a case, from nowhere in the revision, as where the project is
        installed as a copy. Both sides would be the same, and say so with great confidence.
        """
        if self.worktree is None:
            return
        what = self.named.what
        tree = str(self.worktree.folder.resolve())
        repository = self.worktree.repository
        allowed = [tree, *map(str, environments_in(repository))]
        if foreign := [
            file for files in group.run(modules_below, str(repository), allowed) for file in files
        ]:
            raise UsageError(
                f"{what}: its ranks import {foreign[0]} of the working tree, which that revision does not have there,"
                " or which is installed so that sys.path does not decide"
            )
        if ran and not any(group.run(modules_below, tree, [])):
            raise UsageError(
                f"{what}: its ranks import no file of that revision, so both sides are the same: install the project"
                " with pip install --editable, or put its code where pytest's rootdir is"
            )

    @property
    def is_there(self) -> bool:
        """Whether nobody has removed its files."""
        return self.worktree is None or self.worktree.folder.is_dir()

    def close(self) -> None:
        """Remove the worktree."""
        if self.worktree is not None:
            self.worktree.remove()


def open_against(named: Named, folder: Path, one_rank: Callable[[Side], RankGroup]) -> Against:
    """Make the side ready below ``folder`` and see that it speaks our language.

    ``one_rank`` starts a rank of a side. UsageError, in one line, where that does not work or where the side
    is too old.
    """
    worktree = None
    if named.revision is not None:
        assert named.repository is not None
        worktree = add_worktree(named.repository, named.revision, folder / f"against-{named.revision[:12]}")
        side = Side(repository=worktree.repository, worktree=worktree.folder.resolve())
    else:
        assert named.python is not None
        side = Side(python=named.python, repository=named.repository)
    try:
        against = Against(named, side, _versions(named, side, one_rank), worktree)
        against.require_own_code(one_rank(side), ran=False)
    except BaseException:
        if worktree is not None:
            worktree.remove()
        raise
    return against


def _versions(named: Named, side: Side, one_rank: Callable[[Side], RankGroup]) -> dict[str, Any]:
    """Return what the side says it runs; learnt from its server's greeting, before anything of a case is sent to it."""
    what = named.what
    try:
        versions = dict(one_rank(side).about)
    except RankGroupError as error:
        if isinstance(other := error.__cause__, OtherVersionError):
            raise _other_version(what, newer=other.newer, why=str(other)) from None
        said = [line.strip() for line in str(error).strip().splitlines()]
        ends = " ".join(dict.fromkeys((said[0], said[-1])))
        raise UsageError(f"{what}: its ranks do not start: {ends}") from None
    theirs = versions.pop("job_version", 0)
    if theirs != JOB_VERSION:
        why = (
            f"its pytest-gpt-dist, {versions.get('pytest_gpt_dist')}, describes cases in another way than this one"
            f" (version {theirs}, here {JOB_VERSION})"
        )
        raise _other_version(what, newer=theirs > JOB_VERSION, why=why)
    if versions.pop("prefix") == os.path.realpath(sys.prefix) and named.python is not None:
        raise UsageError(f"{what} is the very environment that runs pytest")
    return versions


def _other_version(what: str, *, newer: bool, why: str) -> UsageError:
    age, remedy = ("too new", "with an older") if newer else ("too old", "with a newer")
    return UsageError(f"{what}: {age}: {why}; compare {remedy} revision, or install this version there")
