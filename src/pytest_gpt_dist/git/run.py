"""git, run in a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pytest_gpt_dist.errors import UsageError

_OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")


def git(folder: Path, *arguments: str, deadline_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder, whatever repository a hook that runs us has put into the environment.

    UsageError where git cannot be run or takes longer than ``deadline_s``.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=deadline_s,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"git took longer than {deadline_s:g} s in {folder}") from None
