"""What containers and services leave a process of time and memory."""

from pathlib import Path

import pytest

from pytest_gpt_dist.host.cgroups import cpu_limit, memory_left_bytes, throttled_s


class ControlGroups:
    """A tree of control groups, in one of which this process is."""

    def __init__(self, root: Path, own: str) -> None:
        self.root = root / "groups"
        self.root.mkdir()
        self.own = root / "own"
        self.own.write_text(f"3:cpuset:/elsewhere\n0::{own}\n")

    def write(self, group: str, limit: str = "max 100000", throttled_us: int | None = None) -> None:
        """Make a group, and all above it."""
        folder = self.root / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(f"{limit}\n")
        told = "" if throttled_us is None else f"nr_throttled 3\nthrottled_usec {throttled_us}\n"
        (folder / "cpu.stat").write_text(f"usage_usec 9\n{told}")


def test_the_least_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    groups = ControlGroups(tmp_path, "/runner.slice/job/step")
    groups.write("runner.slice", "400000 100000", throttled_us=1_000_000)
    groups.write("runner.slice/job", "150000 100000", throttled_us=500_000)
    groups.write("runner.slice/job/step")
    groups.write("other.slice", "1000 100000", throttled_us=7_000_000)
    assert cpu_limit(groups.root, groups.own) == 1.5
    assert throttled_s(groups.root, groups.own) == 0.5


@pytest.mark.parametrize("own", ["/", "/../../host.slice", "/kubepods/pod1"])
def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path, own: str) -> None:
    groups = ControlGroups(tmp_path, own)
    groups.write("", "250000 100000", throttled_us=2_000_000)
    assert cpu_limit(groups.root, groups.own) == 2.5
    assert throttled_s(groups.root, groups.own) == 2.0


@pytest.mark.parametrize("limit", ["max 100000", "", "nonsense", "1 0"])
def test_without_a_limit_all_cores_count(tmp_path: Path, limit: str) -> None:
    groups = ControlGroups(tmp_path, "/job")
    groups.write("job", limit)
    assert cpu_limit(groups.root, groups.own) is None
    assert throttled_s(groups.root, groups.own) is None


def test_memory_limits_leave_what_is_not_in_use_but_for_files_that_can_go(tmp_path: Path) -> None:
    groups = ControlGroups(tmp_path, "/runner.slice/job")
    for group, (limit, used, idle) in {
        "runner.slice": ("900", 800, 50),
        "runner.slice/job": ("max", 700, 50),
    }.items():
        groups.write(group)
        (groups.root / group / "memory.max").write_text(f"{limit}\n")
        (groups.root / group / "memory.current").write_text(f"{used}\n")
        (groups.root / group / "memory.stat").write_text(f"anon 600\ninactive_file {idle}\n")
    assert memory_left_bytes(groups.root, groups.own) == 900 - 800 + 50
    (groups.root / "runner.slice/job/memory.max").write_text("600\n")
    assert memory_left_bytes(groups.root, groups.own) == 0


def test_a_kernel_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "none", tmp_path / "gone") is None
    assert throttled_s(tmp_path / "none", tmp_path / "gone") is None
    assert memory_left_bytes(tmp_path / "none", tmp_path / "gone") is None
