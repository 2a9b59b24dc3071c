"""What must hold after a fault: right numbers alone, a true cause for what failed, and nothing left behind."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from soak.faults import Fault
from soak.running import TEMPORARY, Ended, marked

GONE_WITHIN_S = 10.0
SHARED_MEMORY = Path("/dev/shm")

Truth = Mapping[str, str]
"""The SHA-256 of each case's tokens in a session that nothing disturbed."""


def wrong_numbers(ended: Ended, truth: Truth) -> Iterator[str]:
    """Whatever was saved and is not what an undisturbed session saves, or is missing of what passed."""
    saved = [(_case(entry["name"]), entry["extra_info"]) for entry in ended.saved]
    for case, info in saved:
        if info["tokens_sha256"] != truth[case]:
            yield f"{case} is saved with other tokens"
        if not info["matches_reference"]:
            yield f"{case} is saved though it differs from its reference"
    for case, test in ended.tests.items():
        if test.outcome == "passed" and case not in dict(saved):
            yield f"{case} passed and is not saved"


def wrong_outcomes(ended: Ended, faults: Sequence[Fault]) -> Iterator[tuple[Fault | None, str]]:
    """Cases that ended otherwise than the faults explain, each with the fault that hit it, if one did."""
    for case, test in ended.tests.items():
        hit = next((fault for fault in faults if fault.kind.scope != "case" or fault.case == case), None)
        cause, survived = (hit.kind.cause, hit.kind.survived) if hit else ("", True)
        said = next(iter(test.said.strip().splitlines()), "")[:200]
        if test.outcome == "passed":
            if cause and not survived:
                yield hit, f"{case} passed"
        elif not cause:
            yield hit, f"{case} failed: {said}"
        elif not re.search(cause, test.said.partition("\n--- rank")[0]):
            yield hit, f"{case} names another cause: {said}"
    if not ended.tests:
        yield None, f"no case was run: {_last_line(ended.output)}"
    elif ended.status != int(any(test.outcome != "passed" for test in ended.tests.values())):
        yield None, f"the session ended with {ended.status}: {_last_line(ended.output)}"


def resumption(ended: Ended, finished: int) -> Iterator[str]:
    """A resumed session takes each finished case, and no other, from the journal."""
    resumed = sum(entry["extra_info"]["resumed"] for entry in ended.saved)
    if resumed != finished:
        yield f"{resumed} cases were resumed, {finished} were finished"


def left_behind(folder: Path, before: set[str], *, complete: bool) -> Iterator[str]:
    """What is still there of a session that has ended; a failed group's output is there to be read."""
    deadline_s = time.monotonic() + GONE_WITHIN_S
    while (processes := marked(folder)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for process in processes:
        with suppress(Exception):
            yield f"process {process.pid} is left ({' '.join(process.cmdline())[:80]})"
    for name in sorted(set(os.listdir(SHARED_MEMORY)) - before):
        if not _is_mapped(name):
            yield f"{SHARED_MEMORY / name} is left"
    for path in sorted((folder / TEMPORARY).iterdir()):
        if not path.name.startswith("gpt-dist-failed-"):
            # torch's own, and locks of devices, which stay for other sessions
            if complete and not path.name.startswith(("torchinductor_", "gpt-dist-devices")):
                yield f"{path.name} is left in the temporary folder"
        elif not any(path.iterdir()):
            yield f"{path.name} is left and empty"
    if complete and (journals := list(folder.glob(".gpt-dist/journal/*"))):
        yield f"{len(journals)} journals are left"


def _case(name: str) -> str:
    return name.partition("[")[2].removesuffix("]")


def _last_line(output: str) -> str:
    errors = [line for line in output.splitlines() if "Error" in line or "ERROR" in line]
    return (errors or output.strip().splitlines() or ["it said nothing"])[-1].strip()[:200]


def _is_mapped(name: str) -> bool:
    """Whether a file of shared memory is in use, or gone meanwhile: others work on this machine, too."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if f"/dev/shm/{name}" in maps.read_text():
                return True
    return not (SHARED_MEMORY / name).exists()
