"""One session of ``pytest benchmarks`` on the CPU in a process of its own, and what it saved."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run_session(arguments: Sequence[str], *, deadline_s: float) -> dict[str, dict[str, Any]]:
    """Return the ``extra_info`` of every case that was measured, by the name of its test, in their order.

    Nothing is left in the repository's storage. A session that fails, or takes longer than ``deadline_s``, ends
    the program with what pytest printed last.

    Args:
        arguments: pytest's, besides the folder.
        deadline_s: seconds after which the session is given up.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "session.json")
        command = [
            *(sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider"),
            *("--gpt-device=cpu", f"--benchmark-storage={folder}/storage", f"--benchmark-json={file}"),
            *arguments,
        ]
        try:
            done = subprocess.run(
                command,
                check=False,
                cwd=ROOT,
                timeout=deadline_s,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"{' '.join(command)}\nnot done after {deadline_s:.0f} s")
        if done.returncode:
            sys.exit(f"{' '.join(command)}\npytest ended with {done.returncode}\n{done.stdout[-4000:]}")
        saved = json.loads(file.read_text())
    return {entry["name"]: entry["extra_info"] for entry in saved["benchmarks"]}
