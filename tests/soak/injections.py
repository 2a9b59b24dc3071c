"""What carries a fault out, by the word before the colon of ``Kind.inject``; each returns what undoes it."""

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from soak.faults import DAMAGES, Fault
from soak.running import Running, marked, start

Undo = Callable[[], None]
Injection = Callable[[Running, Fault, str], Undo | None]
MOMENT_S = 1.0
DAMAGE = {
    "cut": b'{"benchmarks": [{"extra_info',
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "of other types": b'{"benchmarks": 7, "case": [], "fingerprint": "x", "timing": 3, "n_layer": [], "model_type": 5}',
    "binary": bytes(range(256)) * 40,
    "with 1e400": b'{"benchmarks": [{"fullname": "x", "extra_info": {"fingerprint": {}, "launches": [[1e400]]}}],'
    b' "model_type": "gpt2", "n_layer": 1e400, "case": "x", "fingerprint": {}, "timing": {}, "revision": null,'
    b' "extra_info": {"launches": [[1e400]]}, "tokens": [1e400]}',
}


def _rank(running: Running, fault: Fault, argument: str) -> None:
    if ranks := running.ranks(fault.gate):
        os.kill(ranks[fault.rank % len(ranks)], signal.Signals[argument])


def _server(running: Running, fault: Fault, argument: str) -> None:
    if (server := running.server()) is not None:
        server.send_signal(signal.Signals[argument])
        psutil.wait_procs([server], 1.0)


def _stop(running: Running, fault: Fault, argument: str) -> None:
    """Stopped as the case goes on, and woken a moment later."""
    ranks, server = running.ranks(fault.gate), running.server()
    pid = ranks[fault.rank % len(ranks)] if argument == "rank" else server.pid if server else 0
    os.kill(pid, signal.SIGSTOP)
    subprocess.Popen(["sh", "-c", f"sleep {MOMENT_S}; kill -CONT {pid}"])


def _act(running: Running, fault: Fault, argument: str) -> None:
    rank = fault.rank % len(running.ranks(fault.gate))
    (running.gates / f"{fault.gate}.act").write_text(json.dumps({"rank": rank, "act": argument}))


def _session(running: Running, fault: Fault, argument: str) -> None:
    running.process.send_signal(signal.Signals[argument])


def _pause(running: Running, fault: Fault, argument: str) -> None:
    """pytest stands still for longer than its ranks may be silent; they do not."""
    running.process.send_signal(signal.SIGSTOP)
    (running.gates / fault.gate).unlink()
    time.sleep(running.timeout_s + MOMENT_S)
    running.process.send_signal(signal.SIGCONT)


def _delete(running: Running, fault: Fault, argument: str) -> None:
    for folder in running.temporary.glob(argument):
        shutil.rmtree(folder, ignore_errors=True)


def _vanish(running: Running, fault: Fault, argument: str) -> Undo:
    away = running.temporary.with_name("away")
    running.temporary.rename(away)

    def undo() -> None:
        running.temporary.mkdir(exist_ok=True)
        for path in away.iterdir():
            path.rename(running.temporary / path.name)

    return undo


def _full(running: Running, fault: Fault, argument: str) -> Undo:
    filling = running.folder / argument / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 2**16)
        except OSError:
            pass
    return filling.unlink


def _read_only(running: Running, fault: Fault, argument: str) -> Undo:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(running.folder / argument)], check=True)

    remount("ro")
    return lambda: remount("rw")


def _limit(running: Running, fault: Fault, argument: str) -> Undo:
    name, _, value = argument.partition("=")
    number = getattr(resource, f"RLIMIT_{name}")
    own = running.process.pid
    # Before there is a server, pytest itself, which passes its limits on.
    limited = [process for process in marked(running.folder) if process.pid != own] or [psutil.Process(own)]
    before = limited[0].rlimit(number)

    def limit(processes: Iterable[psutil.Process], soft: int) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(number, (soft, before[1]))

    limit(limited, int(value))
    return lambda: limit(marked(running.folder), before[0])


def _neighbour(running: Running, fault: Fault, argument: str) -> Undo:
    gates = running.gates.with_name(f"{running.gates.name}-neighbour")
    neighbour = start(running.folder, gates, timeout_s=running.timeout_s, name="neighbour")

    def undo() -> None:
        if neighbour.process.wait() != 0:
            raise AssertionError(
                f"its neighbour ended with {neighbour.process.returncode}: see neighbour.txt"
            )

    return undo


INJECTIONS: dict[str, Injection] = {
    "rank": _rank, "server": _server, "stop": _stop, "act": _act, "session": _session, "pause": _pause,
    "delete": _delete, "vanish": _vanish, "full": _full, "read-only": _read_only, "limit": _limit,
    "neighbour": _neighbour,
}  # fmt: skip


def inject(running: Running, fault: Fault) -> Undo | None:
    """Carry a fault out."""
    word, _, argument = fault.kind.inject.partition(":")
    return INJECTIONS[word](running, fault, argument)


def started_by(fault: Fault) -> tuple[str, ...]:
    """The command that starts the session where that is the fault."""
    word, _, argument = fault.kind.inject.partition(":")
    if word == "started":
        return tuple(argument.split())
    if word == "network":
        range_file = "/proc/sys/net/ipv4/ip_local_port_range"
        up = "" if argument == "down" else f"ip link set lo up; echo 40000 40000 > {range_file}; "
        return ("unshare", "--net", "sh", "-c", up + 'exec "$@"', "sh")
    return ()


def stored_damage(folder: Path, how: str) -> Path:
    """Where a saved session is that is damaged that way."""
    return folder / ".benchmarks" / "machine" / f"000{DAMAGES.index(how)}_soak.json"


def damage(folder: Path, fault: Fault) -> tuple[str, ...]:
    """Damage what a session is to read; the arguments with which it does."""
    what, _, how = fault.kind.also.partition(":")
    match what:
        case "journal":
            for number, path in enumerate(sorted(folder.glob(".gpt-dist/journal/*/*.json"))[1:], fault.rank):
                path.write_bytes(DAMAGE[DAMAGES[number % len(DAMAGES)]])
        case "one case alone":
            return ("-k", "one")
        case "store":
            (folder / ".benchmarks" / "machine").mkdir()
            for way in DAMAGES:
                stored_damage(folder, way).write_bytes(DAMAGE[way])
            return ("--gpt-baseline",)
        case "model":
            (folder / "model").mkdir()
            (folder / "model" / "config.json").write_bytes(DAMAGE[how])
            return ("--gpt-model=./model",)
    return ()
