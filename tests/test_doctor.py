"""gpt-dist doctor: what it makes of what it sees, and a real run on this machine."""

import json
from pathlib import Path

import pytest

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.cluster.devices import Gpu
from pytest_gpt_dist.doctor.finding import Finding, any_fault
from pytest_gpt_dist.doctor.gpus import visibility
from pytest_gpt_dist.doctor.host import look_at_host, memory, ports
from pytest_gpt_dist.doctor.ranks import judge_build

GPUS = [Gpu(index, f"GPU-{index}a", "H200", 2**37) for index in (0, 1)]
WORKS = "set it to 0,1"


@pytest.mark.parametrize(
    ("asked", "state", "said"),
    [
        (None, "ok", "2 visible: 0 H200, 1 H200"),
        ("1", "ok", "1 of 2 visible: 1 H200"),
        ("GPU-1a,0", "ok", "2 of 2 visible"),
        ("", "fault", "is empty and hides all"),
        ("7", "fault", "there is no GPU of index 7"),
        ("0,7", "warning", "there is no GPU of index 7"),
        ("GPU-ffff", "fault", "there is no GPU of UUID GPU-ffff"),
        ("0,0", "fault", "names one twice"),
    ],
)
def test_mistakes_in_visible_devices_are_said_with_what_would_work(
    asked: str | None, state: str, said: str
) -> None:
    finding = visibility(asked, GPUS)
    assert finding.state == state
    assert said in finding.seen
    assert (WORKS in finding.remedy) == (state != "ok")


def test_a_machine_without_gpus_is_no_fault_and_says_what_will_run() -> None:
    assert visibility(None, []).state == "ok"
    assert "cases run on the CPU" in visibility(None, []).seen
    assert visibility("0", []).state == "warning"


def test_a_build_for_the_cpu_beside_gpus_is_a_fault() -> None:
    build = {"version": "2.13.0+cpu", "cuda": None}
    assert judge_build(build, gpus=0).state == "ok"
    assert judge_build(build, gpus=1).state == "fault"
    assert judge_build({"version": "2.13.0", "cuda": "13.0"}, gpus=1).state == "ok"


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


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", None)
    findings = {found.subject: found for found in look_at_host({"HF_HUB_OFFLINE": "1"}, gpus=0)}
    assert findings["model hub"].state == "ok"


def test_a_folder_that_cannot_be_written_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    findings = {found.subject: found for found in look_at_host({"HF_HUB_OFFLINE": "1"}, gpus=0)}
    assert findings["disk for scratch"].state == "fault"
    assert any_fault(list(findings.values()))


def test_an_address_that_nobody_can_open_a_port_of_is_a_fault() -> None:
    assert ports().state == "ok"
    elsewhere = ports("192.0.2.1")  # of nobody: RFC 5737
    assert elsewhere.state == "fault"
    assert "192.0.2.1 takes no connections" in elsewhere.seen


def test_a_line_has_the_state_first_and_the_remedy_last() -> None:
    assert str(Finding("disk", "fault", "full", "free some")) == "fault    disk: full; free some"


def test_this_machine_is_looked_at_with_real_ranks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status = main(["doctor", "--json"])
    findings = {found["subject"]: found for found in json.loads(capsys.readouterr().out)["findings"]}
    assert status == any(found["state"] == "fault" for found in findings.values())
    assert findings["torch"]["state"] == "ok"
    assert findings["gloo, 2 ranks"]["state"] in ("ok", "warning")
    assert "all-reduce" in findings["gloo, 2 ranks"]["seen"]
