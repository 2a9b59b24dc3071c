"""The machine apart from its GPUs: packages, cores, memory, disks, programs, the hub."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_gpt_dist.doctor.finding import Finding, State, looked
from pytest_gpt_dist.doctor.hub import look_at_hub
from pytest_gpt_dist.doctor.packages import look_at_packages
from pytest_gpt_dist.host.cgroups import memory_left_bytes
from pytest_gpt_dist.host.cores import own_cores
from pytest_gpt_dist.host.machine import cpu_name
from pytest_gpt_dist.host.preconditions import (
    LOOPBACK,
    Precondition,
    enough_memory,
    free_memory,
    meeting_place,
    open_files,
    processes,
)
from pytest_gpt_dist.version import __version__

_GIB = 2**30
_LEAST_DISK_BYTES = 5 * _GIB
_NO_DISK_BYTES = _GIB // 10
_LEAST_MEMORY_BYTES = 4 * _GIB
_LEAST_SHARED_BYTES = _GIB


def look_at_host(environment: Mapping[str, str], gpus: int) -> Iterator[Finding]:
    """Yield findings about this machine, of which ``gpus`` GPUs are known."""
    yield from looked("system", _system)
    yield from looked("packages", look_at_packages)
    if sys.platform != "linux":
        return
    yield from looked("cores", _cores)
    yield from looked("memory", lambda: memory(Path("/proc/meminfo").read_text(), memory_left_bytes()))
    yield from looked("shared memory", _shared_memory, gpus)
    yield from looked("ports", ports)
    yield from looked("open files", lambda: _judged(open_files()))
    yield from looked("processes", lambda: _judged(processes()))
    yield from looked("disk here", _disk_here)
    yield from looked("disk for scratch", _disk_for_scratch, environment.get("TMPDIR"))
    yield from looked("git", _program, "git", "git", "--gpt-against=REF needs it: install git")
    compiler = environment.get("CXX") or "g++"
    yield from looked(
        "C++ compiler",
        _program,
        "C++ compiler",
        compiler,
        "the engine transformers compiles with it: install g++",
    )
    yield from looked("model hub", look_at_hub)


def _system() -> Finding:
    python = f"Python {platform.python_version()}, pytest-gpt-dist {__version__}"
    seen = f"{platform.system()} {platform.release()}, {python}"
    if sys.platform != "linux":
        return Finding("system", "fault", seen, "ranks need Linux: use a virtual machine or a container")
    return Finding("system", "ok", seen)


def _cores() -> Finding:
    cores = own_cores()
    seen = f"{len(cores.numbers)} of {os.cpu_count()} for this process, {cpu_name()}"
    if cores.usable < len(cores.numbers):
        remedy = "ranks wait for each other's share: lift the limit, or pin the container to whole cores"
        return Finding("cores", "warning", f"{seen}, but a limit of {cores.usable:g}", remedy)
    return Finding("cores", "ok", seen)


def memory(meminfo: str, left_bytes: int | None) -> Finding:
    """Return the memory that is free, from the text of ``/proc/meminfo`` and what a container's limit leaves; pure."""
    free = free_memory(meminfo, left_bytes)
    needed = enough_memory(free)
    if needed.remedy:
        return _judged(needed)
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    seen = needed.seen
    swapped = int(fields.get("SwapTotal", "0").split()[0]) - int(fields.get("SwapFree", "0").split()[0])
    if free.usable < _LEAST_MEMORY_BYTES:
        return Finding(
            "memory", "warning", seen, "close what else runs, or choose a small model with --gpt-model"
        )
    if swapped > 0:
        return Finding("memory", "warning", f"{seen}, some of it swapped out", "close what else runs")
    return Finding("memory", "ok", seen)


def _shared_memory(gpus: int) -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding(
            "shared memory", "warning", "there is no /dev/shm", "mount one: NCCL and gloo's peers use it"
        )
    seen = f"{free / _GIB:.1f} GiB free in /dev/shm"
    if gpus > 1 and free < _LEAST_SHARED_BYTES:
        return Finding(
            "shared memory", "fault", seen, "NCCL needs more: docker run --shm-size=2g, or --ipc=host"
        )
    return Finding("shared memory", "ok", seen)


def ports(address: str = LOOPBACK) -> Finding:
    """Whether processes can meet at a port of an address, as ranks do; really opens one."""
    return _judged(meeting_place(address))


def _judged(need: Precondition) -> Finding:
    return Finding(need.subject, "fault" if need.remedy else "ok", need.seen, need.remedy)


def _disk_here() -> Finding:
    try:
        return disk("disk here", Path.cwd())
    except FileNotFoundError:  # os.getcwd's, for a folder that was removed
        return Finding("disk here", "fault", "the working folder is gone", "go to one that exists")


def _disk_for_scratch(tmpdir: str | None) -> Finding:
    what = "disk for scratch"
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Finding(
            what, "fault", "no folder for temporary files can be written", "set TMPDIR to one that can be"
        )
    found = disk(what, folder)
    if found.state == "ok" and tmpdir and folder != Path(os.path.abspath(tmpdir)):
        seen = f"{found.seen}, for TMPDIR={tmpdir} cannot be written"
        return Finding(what, "warning", seen, "make that folder, or room in it, or unset TMPDIR")
    return found


def disk(what: str, folder: Path) -> Finding:
    """Whether a folder can be written, and what room there is."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            what, "fault", f"{folder}: {error.strerror}", "make it writable, or go elsewhere (TMPDIR)"
        )
    seen = f"{free / _GIB:.1f} GiB free in {folder}"
    if free < _LEAST_DISK_BYTES:
        state: State = "fault" if free < _NO_DISK_BYTES else "warning"
        return Finding(what, state, seen, "references and logs need room: free some")
    return Finding(what, "ok", seen)


def _program(what: str, name: str, remedy: str) -> Finding:
    found = shutil.which(name)
    return Finding(what, "ok", found) if found else Finding(what, "warning", f"no {name}", remedy)
