"""Which source is being measured."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.git.run import git

_DEADLINE_S = 10.0


def source_revision(folder: Path) -> str | None:
    """HEAD and a hash of what differs from it, as git sees the folder; None outside of a repository."""
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None
    difference = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary")
    top = Path(os.fsdecode((_git(folder, "rev-parse", "--show-toplevel") or b"").removesuffix(b"\n")))
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/")
    changes = hashlib.sha256(difference or b"")
    for name in sorted(filter(None, (untracked or b"").split(b"\0"))):
        changes.update(name + _size_and_time(top / os.fsdecode(name)))
    return f"{head.decode().strip()}+{changes.hexdigest()[:16]}"


def _size_and_time(path: Path) -> bytes:
    """Stands for the content of a file that git does not know, which may be a checkpoint of many gigabytes."""
    try:
        found = path.stat()
    except OSError:
        return b""
    return f"{found.st_size}@{found.st_mtime_ns}".encode()


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        done = git(folder, *arguments, deadline_s=_DEADLINE_S)
    except UsageError:
        return None
    return done.stdout if done.returncode == 0 else None
