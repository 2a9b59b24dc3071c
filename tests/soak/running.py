"""One session of pytest that runs the cases, and what it left when it had ended."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from plugin.sessions import TINY, WITHOUT, InnerTest, Session, own_environment, prepare
from soak.cases import CASES, CONFTEST, TEST
from soak.gates import FOLDER, reached

MARK = "GPT_DIST_SOAK"
DISKS = {".gpt-dist": "4m", ".benchmarks": "4m", "scratch": "64m"}
TEMPORARY = "scratch/tmp"


@dataclass
class Running:
    """A session that runs, and the place that is its own."""

    folder: Path
    gates: Path
    process: subprocess.Popen[bytes]
    timeout_s: float

    @property
    def temporary(self) -> Path:
        """Its TMPDIR."""
        return self.folder / TEMPORARY

    def server(self) -> psutil.Process | None:
        """The server of its ranks; None while there is none."""
        children = psutil.Process(self.process.pid).children()
        return next(
            (child for child in children if "pytest_gpt_dist.cluster.server" in child.cmdline()), None
        )

    def ranks(self, moment: str) -> list[int]:
        """The ranks that stand at a gate, in their order; else whatever ranks there are."""
        at_gate = sorted(
            (fact["rank"], fact["pid"]) for fact in reached(self.gates, moment) if "rank" in fact
        )
        server = None if at_gate else self.server()
        return [pid for _, pid in at_gate] or sorted(
            child.pid for child in (server.children() if server else [])
        )

    def end(self) -> None:
        """Kill it and all that it started."""
        for process in marked(self.folder):
            process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Ended:
    """What a session said and saved."""

    status: int
    output: str
    took_s: float
    tests: dict[str, InnerTest]
    saved: list[dict[str, Any]]


def make_place(folder: Path, *, as_root: bool) -> None:
    """Make the folder of a session, with small disks of its own where that is allowed."""
    folder.mkdir()
    for name, size in DISKS.items():
        (folder / name).mkdir()
        if as_root:
            options = ["-t", "tmpfs", "-o", f"size={size}", "gpt-dist-soak", str(folder / name)]
            subprocess.run(["mount", *options], check=True)
    (folder / TEMPORARY).mkdir()
    prepare(folder, {"conftest.py": CONFTEST, "test_cases.py": TEST})


def leave_place(folder: Path, *, as_root: bool) -> None:
    """Let go of its disks, and keep what is on them."""
    if as_root:
        for name in DISKS:
            kept = folder / f"{name}-kept"
            shutil.copytree(folder / name, kept, symlinks=True, ignore=shutil.ignore_patterns("filling"))
            subprocess.run(["umount", "--lazy", str(folder / name)], check=False)
            shutil.rmtree(folder / name)
            kept.rename(folder / name)


def start(
    folder: Path,
    gates: Path,
    *args: str,
    timeout_s: float,
    started_by: tuple[str, ...] = (),
    name: str = "soak",
) -> Running:
    """Start pytest as a user does; what it prints is in ``NAME.txt``."""
    gates.mkdir(exist_ok=True)
    command = [
        *started_by, sys.executable, "-m", "pytest", f"--junitxml={name}.xml", *WITHOUT, "--benchmark-autosave",
        "-Wignore:Not saving anything:pytest_benchmark.logger.PytestBenchmarkWarning",  # where every case fails
        *TINY, "--gpt-device=cpu", "--gpt-warmup=1", f"--gpt-timeout={timeout_s:g}", *args,
    ]  # fmt: skip
    environment = own_environment(folder) | {
        "TMPDIR": str(folder / TEMPORARY),
        FOLDER: str(gates),
        MARK: str(folder),
    }
    for junit in folder.glob(f"{name}.xml"):
        junit.unlink()
    with (folder / f"{name}.txt").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    return Running(folder, gates, process, timeout_s)


def ended(running: Running, began_s: float, name: str = "soak") -> Ended:
    """What there is of a session whose process has ended."""
    folder, took_s = running.folder, time.monotonic() - began_s
    session = Session(
        folder, running.process.returncode, (folder / f"{name}.txt").read_text(errors="replace")
    )
    tests: dict[str, InnerTest] = {}
    if (junit := folder / f"{name}.xml").exists():
        junit.replace(folder / "junit.xml")
        tests = {
            case: session.tests[f"test_case[{case}]"]
            for case in CASES
            if f"test_case[{case}]" in session.tests
        }
    return Ended(session.status, session.output, took_s, tests, saved_cases(folder))


def saved_cases(folder: Path) -> list[dict[str, Any]]:
    """Every entry that a session of the soak saved, and no file that was put there to be damaged."""
    files = [path for path in sorted(folder.glob(".benchmarks/*/*.json")) if not path.stem.endswith("_soak")]
    return [entry for path in files for entry in json.loads(path.read_text())["benchmarks"]]


def marked(folder: Path) -> list[psutil.Process]:
    """The living processes of a place."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(MARK) == os.fspath(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found
