"""Which source is being measured."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

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
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, timeout=_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
