"""gpt-dist doctor: what it makes of what it sees, and a real run on this machine."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from patience import FOREVER_S
from pytest_gpt_dist.cli import main
from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.commands import doctor
from pytest_gpt_dist.doctor import ranks
from pytest_gpt_dist.doctor.finding import Finding, any_fault, looked
from pytest_gpt_dist.doctor.host import disk, look_at_host, memory, ports
from pytest_gpt_dist.doctor.ranks import fault, judge_build, look_at_ranks
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.terminal.status_line import StatusLine


def test_a_build_for_the_cpu_beside_gpus_is_a_fault() -> None:
    build = {"version": "2.13.0+cpu", "cuda": None}
    assert judge_build(build, gpus=0).state == "ok"
    assert judge_build(build, gpus=1).state == "fault"


@pytest.mark.parametrize(
    ("cuda", "driver", "state"),
    [
        ("13.0", (12, 8), "fault"),
        ("12.9", (12, 8), "ok"),
        ("12.6", (13, 0), "ok"),
        ("13.0", None, "ok"),
    ],
)
def test_a_build_for_a_newer_cuda_than_the_drivers_is_a_fault(
    cuda: str, driver: tuple[int, int] | None, state: str
) -> None:
    found = judge_build({"version": "2.13.0", "cuda": cuda}, 2, driver)
    assert found.state == state
    assert ("for CUDA 12.8 or older" in found.remedy) == (state == "fault")


@pytest.mark.parametrize(
    ("available", "swapped", "state"), [(8, 0, "ok"), (1, 0, "warning"), (8, 1, "warning")]
)
def test_little_memory_and_swapping_are_warnings(available: int, swapped: int, state: str) -> None:
    meminfo = (
        f"MemTotal: {16 * 2**20} kB\nMemAvailable: {available * 2**20} kB\n"
        f"SwapTotal: {2**20} kB\nSwapFree: {(1 - swapped) * 2**20} kB\n"
    )
    assert memory(meminfo, left_bytes=None).state == state


def test_what_a_containers_limit_leaves_of_free_memory_counts() -> None:
    meminfo = f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\n"
    assert memory(meminfo, left_bytes=9 * 2**30) == memory(meminfo, left_bytes=None)
    found = memory(meminfo, left_bytes=2**30)
    assert (found.state, found.seen) == ("warning", "8.0 of 16.0 GiB free, of which a limit leaves 1.0")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def look(**environment: str) -> dict[str, Finding]:
    return {found.subject: found for found in look_at_host(environment, gpus=0)}


@pytest.mark.usefixtures("no_hub")
def test_a_folder_that_cannot_be_written_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    findings = look()
    assert findings["disk for scratch"].state == "fault"
    assert any_fault(findings.values())


@pytest.mark.usefixtures("no_hub")
def test_a_working_folder_that_is_gone_is_a_fault_and_no_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    every = set(look())
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    findings = look()
    assert findings["disk here"].seen == "the working folder is gone"
    assert set(findings) == every


@pytest.mark.parametrize(("free_gib", "state"), [(100, "ok"), (1, "warning"), (0, "fault")])
def test_a_full_disk_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_gib: int, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free_gib * 2**30))
    assert disk("disk", tmp_path).state == state


@pytest.mark.usefixtures("no_hub")
def test_a_folder_for_scratch_that_is_not_used_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert look(TMPDIR=str(tmp_path))["disk for scratch"].seen.endswith(f"in {tmp_path}")
    found = look(TMPDIR="/nonexistent")["disk for scratch"]
    assert found.state == "warning"
    assert "for TMPDIR=/nonexistent cannot be written" in found.seen


@pytest.mark.usefixtures("no_hub")
def test_elsewhere_than_on_linux_that_is_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    findings = look()
    assert findings["system"].state == "fault"
    assert "torch" in findings
    assert [name for name, found in findings.items() if found.state == "fault"] == ["system"]


def test_a_look_that_fails_is_a_fault_with_its_reason_behind_what_it_found() -> None:
    def finds(error: Exception) -> Iterator[Finding]:
        yield Finding("first", "ok", "seen")
        raise error

    first, second = looked("all", finds, OSError(28, "No space left on device"))
    assert first == Finding("first", "ok", "seen")
    assert second.state == "fault"
    assert second.seen == "could not be looked at: OSError: [Errno 28] No space left on device"
    *_, usage = looked("all", finds, UsageError("NVML is away; call it"))
    assert usage == Finding("all", "fault", "NVML is away", "call it")


def test_an_address_that_nobody_can_open_a_port_of_is_a_fault() -> None:
    assert ports().state == "ok"
    elsewhere = ports("192.0.2.1")  # of nobody: RFC 5737
    assert elsewhere.state == "fault"
    assert "192.0.2.1 takes no connections" in elsewhere.seen


def test_a_finding_is_in_columns_with_the_remedy_below() -> None:
    finding = Finding("disk", "fault", "full of references", "free some")
    assert finding.text() == (
        "fault    disk              full of references\n                           -> free some"
    )
    assert finding.text(60).splitlines()[-1] == "                           -> free some"
    narrow = Finding("disk", "ok", "one two three four five six seven").text(56)
    assert narrow == (
        "ok       disk              one two three four five six\n                           seven"
    )


def test_the_last_line_counts() -> None:
    ok, warning, bad = (Finding("a", state, "b") for state in ("ok", "warning", "fault"))
    assert doctor.summary([ok]) == "no faults, no warnings"
    assert doctor.summary([bad, ok, warning, warning]) == "1 fault, 2 warnings"


def test_what_ranks_said_last_is_seen_and_all_of_it_is_kept(tmp_path: Path) -> None:
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster:
        with pytest.raises(RankGroupError) as caught:
            cluster.group(2).run(say_and_die)
        found = fault("ranks", caught.value, tmp_path)
    assert found.state == "fault"
    assert (
        found.seen
        == "rank 1 ended with exit status 7 before it returned; it said last: ImportError: no libcudart"
    )
    assert str(tmp_path / "failure.txt") in found.remedy
    assert "something else" in (tmp_path / "failure.txt").read_text()


def say_and_die() -> None:
    if this_rank().rank == 1:
        print("something else\nImportError: no libcudart\n  at the end", flush=True)
        os._exit(7)
    time.sleep(FOREVER_S)


def test_a_torch_that_cannot_be_imported_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('libcudart is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (found,) = look_at_ranks(gpus=0)
    assert (found.subject, found.state) == ("ranks", "fault")
    assert found.seen.endswith("ended with exit status 1; it said last: RuntimeError: libcudart is missing")
    (report,) = tmp_path.glob("gpt-dist-doctor-*/failure.txt")
    assert str(report) in found.remedy
    assert "Traceback" in report.read_text()
    assert not list(tmp_path.glob("gpt-dist-[!d]*"))  # the server's own folder


def test_ranks_are_not_tried_where_they_could_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Finding("ports", "fault", "closed")
    monkeypatch.setattr(doctor, "look_at_gpus", lambda _: ((), []))
    monkeypatch.setattr(doctor, "look_at_host", lambda *_: [closed])
    monkeypatch.setattr(doctor, "look_at_ranks", None)
    assert doctor.run(Namespace(json=True)) == 1


def test_a_build_that_cannot_use_the_gpus_is_the_only_fault_of_ranks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ranks, "torch_build", cpu_build)
    (found,) = look_at_ranks(gpus=2)
    assert (found.subject, found.state) == ("torch's build", "fault")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.version.cuda is not None, reason="needs a torch that cannot use GPUs")
def test_gpus_that_torch_cannot_use_are_no_matter_of_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "torch_build", cuda_build)
    build, nccl, used = look_at_ranks(gpus=2)
    assert (build.state, nccl.subject) == ("ok", "NCCL")
    assert (used.subject, used.state) == ("NCCL, 2 ranks", "fault")
    assert used.seen.startswith("torch cannot use the GPUs: ")
    assert "NCCL" not in used.remedy


def cuda_build() -> dict[str, str | None]:
    return {"version": "2.13.0+cu130", "cuda": "13.0"}


def test_what_takes_long_is_said_on_terminals_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(StatusLine, "say", lambda _, text: said.append(text))
    monkeypatch.setattr(doctor, "look_at_gpus", lambda _: ((), []))
    monkeypatch.setattr(doctor, "look_at_host", lambda *_: [])
    monkeypatch.setattr(doctor, "look_at_ranks", lambda _: [Finding("gloo", "ok", "right")])
    doctor.run(Namespace(json=False))
    printed = capsys.readouterr()
    assert printed.out == "ok       gloo              right\n\nno faults, no warnings\n"
    assert printed.err == ""
    assert said == ["starting ranks, which imports torch …", "ranks add up …"]


def cpu_build() -> dict[str, str | None]:
    return {"version": "2.13.0+cpu", "cuda": None}


def test_closed_streams_are_no_fault(tmp_path: Path) -> None:
    """Where 0 and 2 are free, the next sockets would take them."""
    report = tmp_path / "findings.json"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    program = "import sys; from pytest_gpt_dist.cli import main; sys.exit(main(['doctor', '--json']))"
    command = [sys.executable, "-c", program]
    subprocess.run(["sh", "-c", f'"$@" >"{report}" <&- 2>&-', "sh", *command], env=environment, check=False)
    findings = {found["subject"]: found["state"] for found in json.loads(report.read_text())["findings"]}
    assert findings["gloo, 2 ranks"] in ("ok", "warning")


@pytest.mark.usefixtures("no_hub")
def test_this_machine_is_looked_at_with_real_ranks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status = main(["doctor", "--json"])
    printed = capsys.readouterr()
    findings = {found["subject"]: found for found in json.loads(printed.out)["findings"]}
    assert status == any(found["state"] == "fault" for found in findings.values())
    assert findings["torch"]["state"] == "ok"
    assert findings["gloo, 2 ranks"]["state"] in ("ok", "warning")
    assert "all-reduce" in findings["gloo, 2 ranks"]["seen"]
    assert printed.err == ""
