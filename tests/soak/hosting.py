"""A session that hosts faults, each injected when its moment has come, and what came of it."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from soak.cases import CASES
from soak.checks import SHARED_MEMORY, Truth, left_behind, resumption, wrong_numbers, wrong_outcomes
from soak.faults import DAMAGES, Fault
from soak.gates import reached
from soak.injections import Undo, damage, inject, started_by, stored_damage
from soak.running import Ended, Running, ended, leave_place, make_place, start

AS_ROOT = os.geteuid() == 0
LOOK_AGAIN_S = 0.01


@dataclass(frozen=True)
class Patience:
    """How long a session may take and its ranks be silent; both follow what an undisturbed session takes here."""

    undisturbed_s: float

    @property
    def silence_s(self) -> float:
        """The ``--gpt-timeout`` of sessions."""
        return max(15.0, self.undisturbed_s)

    @property
    def bound_s(self) -> float:
        """No session takes longer."""
        return 60 + 4 * self.undisturbed_s + 4 * self.silence_s


@dataclass
class Findings:
    """What was found wrong, and with which fault; None is with each that the session hosted."""

    problems: list[tuple[Fault | None, str]] = field(default_factory=list)

    def of(self, fault: Fault) -> list[str]:
        """Those that a fault has to answer for."""
        return list(dict.fromkeys(text for whose, text in self.problems if whose in (fault, None)))

    def add(self, text: str, fault: Fault | None = None) -> None:
        """One more."""
        self.problems.append((fault, text))


def undisturbed(place: Path) -> tuple[Truth, Patience]:
    """What the cases generate when nothing disturbs them, and how long that takes here."""
    make_place(place, as_root=AS_ROOT)
    try:
        done = _run(place, (), (), Patience(300), Findings())
    finally:
        leave_place(place, as_root=AS_ROOT)
    if done.status != 0:
        raise SystemExit(f"a session that nothing disturbs ended with {done.status}:\n{done.output}")
    truth = {
        case: entry["extra_info"]["tokens_sha256"] for case, entry in zip(CASES, done.saved, strict=True)
    }
    return truth, Patience(done.took_s)


def host(place: Path, faults: Sequence[Fault], truth: Truth, patience: Patience) -> Findings:
    """Run a session that hosts these faults, resume it if they end it, and say all that is wrong with it."""
    findings = Findings()
    make_place(place, as_root=AS_ROOT)
    first = faults[0]
    try:
        if first.kind.scope == "resumed":
            done = _run_and_resume(place, first, patience, findings)
            faults = ()
        else:
            done = _run(place, faults, damage(place, first), patience, findings)
    finally:
        leave_place(place, as_root=AS_ROOT)
    for fault, text in wrong_outcomes(done, faults):
        findings.add(text, fault)
    for text in wrong_numbers(done, truth):
        findings.add(text)
    if first.kind.also == "store":
        for how in DAMAGES:
            if stored_damage(place, how).name not in done.output:
                findings.add(f"the saved session that is {how} is not named", first)
    return findings


def _run_and_resume(place: Path, fault: Fault, patience: Patience, findings: Findings) -> Ended:
    done = _run(place, (fault,), (), patience, findings)
    if not re.search(fault.kind.cause, done.output):
        findings.add("the session does not name the cause", fault)
    finished = len(list(place.glob(".gpt-dist/journal/*/*.json")))
    if finished < 2:  # all faults of this kind come later
        findings.add(f"{finished} finished cases were kept", fault)
    damage(place, fault)
    damaged = max(0, finished - 1) if fault.kind.also else 0  # all but the first
    done = _run(place, (), ("--gpt-resume",), patience, findings, name="resumed")
    for text in resumption(done, finished - damaged):
        findings.add(text, fault)
    return done


def _run(
    place: Path,
    faults: Sequence[Fault],
    args: Sequence[str],
    patience: Patience,
    findings: Findings,
    *,
    name: str = "soak",
) -> Ended:
    """One session in a place, from its start to its end."""
    before = set(os.listdir(SHARED_MEMORY))
    gates = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
    prefix: tuple[str, ...] = ()
    for fault in faults:
        prefix = started_by(fault)
        (gates / fault.gate).touch()
    began_s = time.monotonic()
    running = start(place, gates, *args, timeout_s=patience.silence_s, started_by=prefix, name=name)
    try:
        _drive(running, faults, patience.bound_s, findings)
        done = ended(running, began_s, name)
        resumable = any(fault.kind.scope == "resumed" for fault in faults)
        for text in left_behind(place, before, complete=not resumable):
            findings.add(text)
        return done
    finally:
        running.end()


def _drive(running: Running, faults: Sequence[Fault], bound_s: float, findings: Findings) -> None:
    """Inject the faults, each when its moment has come, and wait for the session's end."""
    deadline_s = time.monotonic() + bound_s
    pending = {fault.gate: fault for fault in faults if fault.kind.when != "start"}
    undone: dict[str, tuple[Undo, Fault]] = {}
    while running.process.poll() is None:
        if time.monotonic() > deadline_s:
            findings.add(f"the session did not end within {bound_s:.0f} s")
            running.end()
        for gate, fault in list(pending.items()):
            comers = CASES[fault.case].gpus if fault.kind.when == "within" else 1
            if len(reached(running.gates, gate)) < comers:
                continue
            del pending[gate]
            undo: Undo | None = None
            with _noted(fault, findings):
                undo = inject(running, fault)
            if undo is not None:
                undone[f"{fault.case}.after"] = undo, fault
                (running.gates / f"{fault.case}.after").touch()
            (running.gates / gate).unlink(missing_ok=True)
        for after in [after for after in undone if reached(running.gates, after)]:
            undo, fault = undone.pop(after)
            with _noted(fault, findings):
                undo()
            (running.gates / after).unlink()
        time.sleep(LOOK_AGAIN_S)
    for undo, fault in undone.values():
        with _noted(fault, findings):
            undo()
    for fault in pending.values():
        findings.add("its moment never came", fault)


@contextmanager
def _noted(fault: Fault, findings: Findings) -> Iterator[None]:
    """What fails of a fault is a finding; the soak goes on."""
    try:
        yield
    except (OSError, AssertionError, subprocess.SubprocessError, psutil.Error) as error:
        findings.add(f"{type(error).__name__}: {error}", fault)
