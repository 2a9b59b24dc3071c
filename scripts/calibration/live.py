"""Verdicts of whole sessions of pytest, as a user starts them: of unchanged code, and of a planted slowdown.

`python -m scripts.calibration.live stored --output FILE [--sessions 40]` runs sessions with `--gpt-baseline` over one
storage, all of the same code. `python -m scripts.calibration.live sides --output FILE [--sessions 10] [--slower 0.10]`
runs sessions with `--gpt-against=HEAD` in a repository whose working tree has a slower engine than its last commit;
with `--slower 0` both sides are the same. Both save after each session and continue a file that exists.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

from scripts.calibration.wilson import wilson_interval
from scripts.machine import describe_machine, moment
from scripts.results_file import continued, write_results

from pytest_gpt_dist.errors import UsageError

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 1800.0
CASE = (
    *("-p", "no:cacheprovider", "--gpt-device=cpu", "--gpt-model=gpt2-mini", "--gpt-dtype=float32"),
    *("--gpt-gpus=1", "--gpt-batch-size=4", "--gpt-prompt-tokens=128", "--gpt-new-tokens=2"),
)
Kind = Literal["stored", "sides"]
AS_IT_IS = "from pytest_gpt_dist.inference.engines.native import NativeEngine as Engine\n"
SLOWER = """\
from scripts.calibration.slowed import Slower


class Engine(Slower):
    share = {share}
"""
CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_engine("own", "own_engine:Engine")
"""


@dataclass(frozen=True)
class Setting:
    """What was asked for: which comparison, by how much the new side is slower, and pytest's arguments."""

    kind: Kind
    slower: float
    arguments: tuple[str, ...] = CASE


@dataclass(frozen=True)
class Session:
    """What one session said.

    ``effect`` and ``detectable`` are relative changes of time, None where nothing was compared; ``why`` is the
    verdict's own text; ``load`` is the machine's load average when it began; ``second_look`` says whether fresh
    launches decided.
    """

    began: str
    load: float
    wall_s: float
    verdict: str
    effect: float | None
    detectable: float | None
    second_look: bool
    why: str


@dataclass(frozen=True)
class Live:
    """Sessions of one setting on one machine."""

    setting: Setting
    machine: dict[str, str | int]
    sessions: tuple[Session, ...] = ()


def read_live(file: Path) -> Live:
    """Read a file of sessions; UsageError where it is something else."""
    try:
        saved = json.loads(file.read_text())
        setting = saved["setting"]
        return Live(
            Setting(setting["kind"], setting["slower"], tuple(setting["arguments"])),
            saved["machine"],
            tuple(Session(**session) for session in saved["sessions"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: no file of sessions: {error}") from error


def summary(live: Live) -> str:
    """Return in a line how many sessions alarmed, with Wilson's 95% interval, and how long they took."""
    judged = [session for session in live.sessions if session.verdict != "no-baseline"]
    if not judged:
        return "nothing was judged yet"
    alarms = sum(session.verdict == "regressed" for session in judged)
    low, high = wilson_interval(alarms, len(judged))
    kinds = Counter(session.verdict for session in judged)
    seconds = sorted(session.wall_s for session in judged)
    return (
        f"{alarms} of {len(judged)} judged sessions regressed ({low:.0%} to {high:.0%});"
        f" {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))};"
        f" a session took {seconds[0]:.0f} to {seconds[-1]:.0f} s, median {median(seconds):.0f} s"
    )


def repository(folder: Path, slower: float) -> None:
    """Make a repository whose last commit has the engine as it is, and whose working tree has one slower by a share."""
    shutil.copy(REPOSITORY / "benchmarks" / "test_inference.py", folder)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (folder / "own_engine.py").write_text(AS_IT_IS)
    author = ("-c", "user.name=calibration", "-c", "user.email=calibration@localhost")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "As it is")):
        subprocess.run(("git", *command), cwd=folder, check=True)
    if slower:
        (folder / "own_engine.py").write_text(SLOWER.format(share=slower))


def run_session(folder: Path, storage: Path, arguments: Sequence[str]) -> Session:
    """Run one session in a folder and return what it said; RuntimeError where it gave no verdict at all."""
    began, load = moment()
    file = storage.parent / "session.json"
    command = [
        *(sys.executable, "-m", "pytest", *arguments),
        *(f"--benchmark-storage={storage}", "--benchmark-autosave", f"--benchmark-json={file}"),
    ]
    start_s = time.monotonic()
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
        timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wall_s = time.monotonic() - start_s
    try:
        saved = json.loads(file.read_text())
        verdict = saved["gpt_dist"]["verdicts"][0]
        looked = "second_look" in saved["benchmarks"][0]["extra_info"]
    except (OSError, ValueError, LookupError) as error:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-4000:]}") from error
    finally:
        file.unlink(missing_ok=True)
    return Session(
        began=began,
        load=round(load, 2),
        wall_s=round(wall_s, 1),
        verdict=verdict["kind"],
        effect=_rounded(verdict["effect"]),
        detectable=_rounded(verdict["detectable"]),
        second_look=looked,
        why=verdict["why"],
    )


def measure(file: Path, live: Live, wanted: int) -> Live:
    """Run what is missing of the sessions, and save after each."""
    with TemporaryDirectory() as scratch:
        folder, storage = Path(scratch, "repository"), Path(scratch, "storage")
        folder.mkdir()
        arguments: tuple[str, ...] = (str(REPOSITORY / "benchmarks"), "--gpt-baseline")
        if live.setting.kind == "sides":
            repository(folder, live.setting.slower)
            arguments = (".", "--gpt-engine=own", "--gpt-against=HEAD")
        while len(live.sessions) < wanted:
            said = run_session(folder, storage, (*arguments, *live.setting.arguments))
            live = replace(live, sessions=(*live.sessions, said))
            write_results(file, live)
            effect = "" if said.effect is None else f" {said.effect:+.1%}"
            sys.stderr.write(
                f"{len(live.sessions)} of {wanted}: {said.verdict}{effect}, {said.wall_s:.0f} s\n"
            )
    return live


def _rounded(value: Any) -> float | None:
    return None if value is None else round(value, 5)


def main() -> int:
    """Run sessions, or the rest of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("stored", "sides"))
    parser.add_argument("--sessions", type=int, default=40, help="how many there are to be in all (40)")
    parser.add_argument(
        "--slower", type=float, default=0.1, help="by how much the working tree's engine is slower (0.1)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="file of the results, continued if it exists"
    )
    given = parser.parse_args()
    slower = given.slower if given.kind == "sides" else 0.0
    try:
        live = continued(given.output, Live(Setting(given.kind, slower), describe_machine()), read_live)
        live = measure(given.output, live, given.sessions)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        parser.exit(1, f"{error}\ncontinue with the same command\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; continue with the same command\n")
    sys.stdout.write(summary(live) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
