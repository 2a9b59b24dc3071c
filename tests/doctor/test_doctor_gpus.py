"""What the doctor makes of GPUs, and of what hides them."""

import os

import pynvml
import pytest

from pretended_nvml import MEMORY_BYTES, PretendedNvml, error
from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.doctor.gpus import look_at_gpus, use
from pytest_gpt_dist.doctor.links import judge, matrix
from pytest_gpt_dist.doctor.visibility import visibility
from pytest_gpt_dist.host.gpus import Gpu, GpuProcess, Link

UUIDS = ("GPU-1a2b", "GPU-1a9d")
GPUS = [Gpu(index, uuid, "H200", MEMORY_BYTES) for index, uuid in enumerate(UUIDS)]
WORKS = "unset CUDA_VISIBLE_DEVICES, or set it to 0,1"


def look(asked: str | None = None) -> dict[str, Finding]:
    """By subject, the worst of each."""
    found: dict[str, Finding] = {}
    for finding in look_at_gpus(asked)[1]:
        if finding.subject not in found or finding.state == "fault":
            found[finding.subject] = finding
    return found


@pytest.mark.parametrize(
    ("asked", "state", "said"),
    [
        (None, "ok", "2 visible: 0 H200, 1 H200"),
        ("1", "ok", "1 of 2 visible: 1 H200"),
        ("1,0", "ok", "2 of 2 visible: 1 H200, 0 H200"),
        ("GPU-1a9d,GPU-1a2b", "ok", "2 of 2 visible: 1 H200, 0 H200"),
        ("", "warning", "is empty, which hides all 2: cases run on the CPU"),
        ("-1", "warning", "is -1, which hides all 2: cases run on the CPU"),
        ("7", "fault", "there is no GPU of index 7"),
        ("0,7", "warning", "there is no GPU of index 7"),
        ("0,-1,1", "warning", "'-1' is no index, and CUDA stops there; 1 of 2 visible: 0"),
        ("GPU-ffff", "fault", "no GPU has a UUID that begins with 'GPU-ffff'"),
        ("GPU-1a", "fault", "the UUIDs of GPUs 0 and 1 begin with GPU-1a"),
        ("0,0", "fault", "it names GPU 0 twice"),
        ("0,GPU-1a2b", "fault", "it names GPU 0 twice"),
        (",", "fault", "entry 1 is empty"),
        ("0,,1", "warning", "entry 2 is empty"),
        ("0 1", "warning", "CUDA reads '0 1' as 0; 1 of 2 visible"),
        ("0,1.5", "warning", "CUDA reads '1.5' as 1; 2 of 2 visible"),
        ("cuda:0", "fault", "'cuda:0' is neither an index nor a UUID"),
        ("\x1b[31m0", "fault", r"'\x1b[31m0' is neither an index nor a UUID"),
        ("1,GPU-1a2b", "warning", "some GPUs by index and others by UUID"),
        ("MIG-1a2b/1/0", "fault", "MIG instances are not supported"),
    ],
)
def test_mistakes_in_visible_devices_are_said_with_what_would_work(
    asked: str | None, state: str, said: str
) -> None:
    finding = visibility(asked, GPUS)
    assert finding.state == state
    assert said in finding.seen
    assert finding.remedy.endswith(WORKS if state != "ok" else "")
    assert bool(finding.remedy) == (state != "ok")


def test_who_names_mig_instances_hears_how_to_have_whole_gpus() -> None:
    assert "-mig 0" in visibility("MIG-1a2b/1/0", GPUS).remedy


def test_a_machine_without_gpus_is_no_fault_and_says_what_will_run() -> None:
    assert visibility(None, []).state == visibility("-1", []).state == "ok"
    assert "cases run on the CPU" in visibility(None, []).seen
    assert visibility("0", []).state == "warning"


def test_a_sound_machine_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml().install(monkeypatch)
    visible, findings = look_at_gpus(None)
    assert [gpu.index for gpu in visible] == [0, 1]
    assert {finding.state for finding in findings} == {"ok"}
    assert look()["driver"].seen == "570.86.15, for CUDA up to 12.8"
    assert look()["links"].seen == "nvlink, with peer access"


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_driver_that_cannot_be_reached_is_a_warning(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    PretendedNvml(failing={"nvmlInit": error(code)}).install(monkeypatch)
    found = look()["GPUs"]
    assert found.state == "warning"
    assert found.seen.endswith("cases run on the CPU")
    assert "--gpus all" in found.remedy


@pytest.mark.parametrize(
    ("function", "subject", "state"),
    [
        ("nvmlDeviceGetCount", "GPUs", "fault"),
        ("nvmlSystemGetDriverVersion", "driver", "fault"),
        ("nvmlDeviceGetComputeRunningProcesses@1", "GPU 1", "warning"),
        ("nvmlDeviceGetP2PStatus", "links", "warning"),
    ],
)
@pytest.mark.parametrize(
    "failing",
    [error(pynvml.NVML_ERROR_UNKNOWN), pynvml.NVMLLibraryMismatchError("other"), AttributeError("dropped")],
)
def test_what_nvml_does_not_tell_is_one_finding_and_the_others_still_come(
    monkeypatch: pytest.MonkeyPatch, function: str, subject: str, state: str, failing: Exception
) -> None:
    PretendedNvml().install(monkeypatch)
    every = set(look())
    PretendedNvml(running=[], failing={function: failing}).install(monkeypatch)
    if function.endswith("@1"):
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: int(uuid[-1]))
    found = look()
    assert set(found) == (every if subject != "GPUs" else {"GPUs"})
    bad = {name: finding.state for name, finding in found.items() if finding.state != "ok"}
    assert bad == {subject: "fault" if isinstance(failing, AttributeError) else state}


def test_a_lost_gpu_is_a_fault_only_where_it_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {"nvmlDeviceGetMemoryInfo@1": error(pynvml.NVML_ERROR_GPU_IS_LOST)}
    PretendedNvml(failing=lost).install(monkeypatch)
    assert look_at_gpus("0")[0] != ()
    assert look("0")["GPUs"].state == "ok"
    assert look_at_gpus(None)[0] == ()
    assert look()["GPUs"].seen == "GPU 1 cannot be used (GPU is lost)"
    assert look()["GPUs"].remedy.endswith("CUDA_VISIBLE_DEVICES=GPU-0")
    assert look()["GPU 0"].state == "ok"


def test_who_uses_a_gpu_is_named() -> None:
    users = [(GpuProcess(7, 3 * 2**30), "python"), (GpuProcess(8, None), None)]
    found = use(GPUS[1], 2**36, users)
    assert found.state == "warning"
    assert found.seen == (
        "64.0 of 128.0 GiB free, used by python (pid 7, 3.0 GiB), an unknown process (pid 8)"
    )


def test_a_process_of_this_machine_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    PretendedNvml(running=[os.getpid()]).install(monkeypatch)
    assert f"(pid {os.getpid()}, 1.0 GiB)" in look()["GPU 0"].seen
    assert "an unknown process" not in look()["GPU 0"].seen


def test_little_free_memory_is_a_warning_though_nobody_is_to_be_seen() -> None:
    assert use(GPUS[0], MEMORY_BYTES * 9 // 10, []).state == "ok"
    found = use(GPUS[0], MEMORY_BYTES // 10, [])
    assert found.state == "warning"
    assert "outside of containers" in found.remedy


@pytest.mark.parametrize(
    ("kinds", "peers", "state", "seen"),
    [
        (["nvlink"] * 3, [True] * 3, "ok", "nvlink, with peer access"),
        (["pcie switch"] * 3, [True] * 3, "ok", "pcie switch, with peer access"),
        (
            ["nvlink", "system", "system"],
            [True] * 3,
            "warning",
            "nvlink and system (from one CPU's to another's), ",
        ),
        (["nvlink"] * 3, [True, False, True], "warning", "nvlink, no peer access between 0 and 2"),
        (["nvlink"] * 3, [False] * 3, "warning", "nvlink, no peer access"),
        (
            ["unknown"] * 3,
            [None] * 3,
            "warning",
            "a link that NVML does not tell, NVML does not tell of peer",
        ),
    ],
)
def test_slow_links_and_those_without_peer_access_are_warnings(
    kinds: list[str], peers: list[bool | None], state: str, seen: str
) -> None:
    pairs = [(0, 1), (0, 2), (1, 2)]
    found = judge([Link(*each) for each in zip(pairs, kinds, peers, strict=True)])
    assert found.state == state
    assert found.seen.startswith(seen)
    assert bool(found.remedy) == (state == "warning")


def test_links_are_a_matrix_for_people_and_pairs_in_json() -> None:
    links = [Link((0, 1), "nvlink", True), Link((0, 4), "system", False), Link((1, 4), "system", True)]
    assert matrix(links) == [
        "         0     1     4",
        "   0     -    NV  SYS!",
        "   1    NV     -   SYS",
        "   4  SYS!   SYS     -",
        "NV nvlink, SYS system, ! no peer access",
    ]
    assert "\n".join(f"{'':27}{line}" for line in matrix(links)) in judge(links).text()
    assert judge(links).as_dict()["pairs"][1] == {"gpus": (0, 4), "kind": "system", "peer_access": False}
    assert "\n" not in judge(links[:1]).text()
