"""What is in the way of ranks, from numbers and from this machine; the doctor and failed starts say the same."""

import resource
import socket
from pathlib import Path

import pytest

from pytest_gpt_dist.host import preconditions
from pytest_gpt_dist.host.cgroups import memory_kills, memory_limit_bytes, processes_of_groups
from pytest_gpt_dist.host.preconditions import (
    Precondition,
    enough_memory,
    enough_open_files,
    enough_processes,
    free_memory,
    meeting_place,
    unmet,
)

MEMINFO = f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\n"


def test_limits_that_are_near_are_named() -> None:
    assert enough_open_files(30, 1024).remedy == ""
    assert enough_open_files(30, resource.RLIM_INFINITY).remedy == ""
    short = enough_open_files(60, 64)
    assert str(short) == "60 of at most 64 files are open: raise the limit (ulimit -n)"


def test_the_nearest_limit_of_processes_counts() -> None:
    assert enough_processes([]).remedy == ""
    assert enough_processes([(900, 4000), (10, 500)]).seen == "10 of at most 500 processes and threads run"
    assert enough_processes([(900, 4000), (495, 500)]).remedy != ""


@pytest.mark.parametrize(("left", "short"), [(None, False), (2**33, False), (2**26, True)])
def test_memory_that_a_limit_leaves_counts(left: int | None, short: bool) -> None:
    assert (enough_memory(free_memory(MEMINFO, left)).remedy != "") == short


def test_ports_that_are_all_taken_are_no_fault_of_the_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(98, "Address already in use (while attempting to bind on address)")

    monkeypatch.setattr("socket.create_server", refuse)
    found = meeting_place()
    assert found.seen == "127.0.0.1 has no free port (Address already in use)"
    assert "ip_local_port_range" in found.remedy


def test_too_few_files_stand_for_all_that_cannot_be_looked_at_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "open_files", lambda: Precondition("open files", "64 of 64", "more"))
    monkeypatch.setattr(
        preconditions, "meeting_place", lambda **_: Precondition("ports", "none", "bring it up")
    )
    assert [str(each) for each in unmet(1)] == ["64 of 64: more"]
    monkeypatch.setattr(preconditions, "open_files", lambda: Precondition("open files", "3"))
    assert "none: bring it up" in [str(each) for each in unmet(1)]


def test_a_look_that_fails_is_not_told_in_place_of_what_it_was_to_explain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: object) -> Precondition:
        raise OSError("no such file")

    monkeypatch.setattr(preconditions, "meeting_place", fail)
    assert "no such file" not in str(unmet(1))


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_what_the_kernel_ended_is_counted_by_the_group_of_this_process(tmp_path: Path) -> None:
    groups, own = tmp_path / "groups", tmp_path / "own"
    written(groups / "job", memory__max="1000", memory__events="oom 9\noom_kill 7", pids__max="max")
    written(
        groups / "job" / "step",
        memory__max="2000",
        memory__events="oom 9\noom_kill 3",
        pids__max="50",
        pids__current="40",
    )
    own.write_text("0::/job/step\n")
    assert memory_kills(groups, own) == 3
    assert memory_limit_bytes(groups, own) == 1000
    assert list(processes_of_groups(groups, own)) == [(40, 50)]


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    groups, own = tmp_path / "groups", tmp_path / "own"
    written(groups / "memory", memory__limit_in_bytes="9223372036854771712")
    written(
        groups / "memory" / "job",
        memory__limit_in_bytes="67108864",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2",
    )
    written(groups / "pids" / "job", pids__max="9", pids__current="8")
    own.write_text("9:name=systemd:/\n8:pids:/job\n4:memory:/job\n0::/\n")
    assert memory_kills(groups, own) == 2
    assert memory_limit_bytes(groups, own) == 2**26
    assert list(processes_of_groups(groups, own)) == [(8, 9)]


def test_without_control_groups_nobody_counts(tmp_path: Path) -> None:
    assert memory_kills(tmp_path / "none", tmp_path / "gone") is None
    assert memory_limit_bytes(tmp_path / "none", tmp_path / "gone") is None
