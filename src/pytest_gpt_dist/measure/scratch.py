"""The folder of a session's references, and of those that could not remove theirs."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from pytest_gpt_dist.cluster.linux import is_running


def make_scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process; what killed processes of this user left behind is removed on the way."""
    for folder in Path(tempfile.gettempdir()).glob("gpt-dist-session-*"):
        match = re.match(r"gpt-dist-session-(\d+)-", folder.name)
        if match is not None and not is_running(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"gpt-dist-session-{os.getpid()}-", ignore_cleanup_errors=True)
