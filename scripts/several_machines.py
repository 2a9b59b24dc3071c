"""What becomes of a session when its machines are apart: two and three hosts as network namespaces, for root.

PYTHONPATH=tests python -m scripts.several_machines [--output scripts/results/several_machines_cpu.json]

A link is cut in the middle of a case and mended, a host's members are killed, a host gets a tenth of a core; each time
the next case is to pass, and the four-device matrix to have the tokens of one machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.machine import describe_machine, moment

from machines import Agents, Namespaces, write_secret
from plugin.sessions import TINY, own_environment, prepare

TIMEOUT_S = 10
GRACE_S = 5
MATRIX = """\
import pytest

@pytest.mark.gpt_dist_matrix
def test_generate(gpt_dist, gpus, strategy, engine):
    print("TOKENS", gpt_dist.run().extra_info["tokens_sha256"])
"""
FAULTS = """\
import os
import signal
import subprocess
import threading
import time

import pytest
import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster import RankGroupError
from pytest_gpt_dist.cluster.rank import report_progress

CUT = {cut!r}
MEND = {mend!r}

def reduce_for(seconds):
    end_s = time.monotonic() + seconds
    value = torch.ones(1 << 16)
    over = torch.zeros(1)
    while not over.item():
        dist.all_reduce(value)
        value /= dist.get_world_size()
        report_progress("reducing")
        over.fill_(time.monotonic() > end_s)
        dist.all_reduce(over)
    return float(value[0])

def kill_members(machine):
    if int(os.environ["GROUP_RANK"]) == machine:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # until this rank ends with it
    dist.barrier()

def work(_):
    start_s = time.perf_counter()
    a = torch.ones(256, 256)
    for _ in range(60):
        a @ a
    return time.perf_counter() - start_s

def failed(word, group, fn, argument):
    start_s = time.monotonic()
    with pytest.raises(RankGroupError) as caught:
        group.run(fn, argument)
    print(word, round(time.monotonic() - start_s, 1), str(caught.value).splitlines()[0])

def test_before(gpt_process_group):
    assert gpt_process_group(4).run(reduce_for, 0.5) == [1.0] * 4

def test_link_cut(gpt_process_group):
    group = gpt_process_group(4)
    cut_s = []
    def cut():
        subprocess.run(CUT, check=True)
        cut_s.append(time.monotonic())
    threading.Timer(1.0, cut).start()
    with pytest.raises(RankGroupError) as caught:
        group.run(reduce_for, 120)
    print("CUT", round(time.monotonic() - cut_s[0], 1), str(caught.value).splitlines()[0])

def test_skipped_while_it_is_cut(gpt_dist):
    gpt_dist.run(gpus=4)

def test_after_the_cut(gpt_process_group):
    subprocess.run(MEND, check=True)
    start_s = time.monotonic()
    while True:
        try:
            assert gpt_process_group(4).run(reduce_for, 0.5) == [1.0] * 4
        except (RankGroupError, pytest.skip.Exception):
            if time.monotonic() - start_s > 60:
                raise
            continue
        break
    print("MENDED", round(time.monotonic() - start_s, 1))

def test_members_killed(gpt_process_group):
    failed("KILLED", gpt_process_group(4), kill_members, 1)

def test_after_the_kill(gpt_process_group):
    assert gpt_process_group(4).run(reduce_for, 0.5) == [1.0] * 4

def test_by_machine(gpt_process_group):
    print("SECONDS", *(round(each, 3) for each in gpt_process_group(4).run(work, 0)))
"""
HERE = (*TINY, "--gpt-device=cpu", "-rA", "-p", "no:cacheprovider", "--junitxml=junit.xml")


@contextmanager
def sessions(hosts: int, ranks: int, folder: Path) -> Iterator[Any]:
    """Bring up hosts with agents, and give what runs a session on the first one."""
    environment = own_environment(folder) | write_secret(folder / "secret")
    with Namespaces(hosts) as spaces:
        prefixes = [spaces.prefix(host) for host in range(hosts)]
        agents = Agents(folder, environment, spaces.addresses, ranks, prefixes=prefixes)
        with agents:

            def run(files: dict[str, str], *options: str) -> tuple[str, dict[str, str]]:
                prepare(folder, files)
                command = [
                    *prefixes[0],
                    sys.executable,
                    "-m",
                    "pytest",
                    *HERE,
                    *agents.options,
                    *options,
                    *files,
                ]
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=400,
                )
                return done.stdout + done.stderr, _outcomes(folder)

            yield spaces, agents, run


def here(folder: Path) -> list[str]:
    """Return the tokens of the same matrix on this machine alone."""
    command = [sys.executable, "-m", "pytest", *HERE, "--gpt-gpus=4", "--benchmark-disable", "test_matrix.py"]
    environment = own_environment(folder)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    return sorted(set(_said(done.stdout, "TOKENS")))


def _outcomes(folder: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(folder / "junit.xml").iter("testcase"):
        kinds = [kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None]
        found[str(case.get("name"))] = kinds[0] if kinds else "passed"
    return found


def _said(output: str, word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", output, re.MULTILINE)


@contextmanager
def slowed(pids: list[int]) -> Iterator[bool]:
    """Give processes a tenth of a core together; False where control groups do not allow it."""
    group = Path(f"/sys/fs/cgroup/cpu/gpt-dist-{pids[0]}")
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("10000")
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (group.parent / "cgroup.procs").write_text(left)
        group.rmdir()


def two_hosts() -> dict[str, Any]:
    """Run the matrix and the faults on two hosts of two ranks each."""
    result: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gptd-") as name,
        sessions(2, 2, Path(name)) as (spaces, agents, run),
    ):
        matrix = ("--gpt-gpus=4", "--benchmark-disable")
        output, outcomes = run({"test_matrix.py": MATRIX}, *matrix)
        result["matrix"] = {"outcomes": outcomes, "tokens": sorted(set(_said(output, "TOKENS")))}
        result["matrix"]["tokens_of_one_machine"] = here(Path(name))
        faults = FAULTS.format(cut=spaces.cut(1), mend=spaces.mend(1))
        output, outcomes = run(
            {"test_faults.py": faults}, f"--gpt-timeout={TIMEOUT_S}", "--benchmark-disable"
        )
        result["faults"] = {"outcomes": outcomes, "timeout_s": TIMEOUT_S}
        for word in ("CUT", "MENDED", "KILLED", "SECONDS"):
            result["faults"][word.lower()] = _said(output, word)
        if "failure" in outcomes.values():
            result["faults"]["output"] = output[-8000:]
        pids = [process.pid for process in agents.members_of(1)]
        with slowed(pids) as allowed:
            if allowed:
                output, outcomes = run(
                    {"test_faults.py": faults},
                    "-k",
                    "before or by_machine",
                    "--gpt-timeout=60",
                    "--benchmark-disable",
                )
                result["slow_host"] = {"outcomes": outcomes, "seconds": _said(output, "SECONDS")}
    return result


def three_hosts() -> dict[str, Any]:
    """Run data parallelism on three hosts of one rank each."""
    with tempfile.TemporaryDirectory(prefix="gptd-") as name, sessions(3, 1, Path(name)) as (_, _, run):
        output, outcomes = run({"test_matrix.py": MATRIX}, "--gpt-data-parallel=3", "--benchmark-disable")
        return {"outcomes": outcomes, "tokens": _said(output, "TOKENS")}


def main() -> int:
    """Run all of it and write down what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if (why_not := Namespaces.why_not()) is not None:
        print(f"skipped: {why_not}")
        return 0
    began, began_s = moment()[0], time.monotonic()
    result = {
        "two_hosts": two_hosts(),
        "three_hosts": three_hosts(),
        "seconds": round(time.monotonic() - began_s),
    }
    print(result)
    if arguments.output is not None:
        found = {"began": began, "machine": describe_machine()} | result
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
