"""Which cores ranks own, and when there are too few of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster.control_groups import cpu_limit, throttled_s
from pytest_gpt_dist.cluster.cores import Cores

NUMBERS = st.sets(st.integers(0, 200), min_size=1, max_size=24).map(lambda cores: tuple(sorted(cores)))


@given(numbers=NUMBERS, threads=st.integers(1, 8), world_size=st.integers(1, 12))
def test_ranks_share_no_core_until_there_are_too_few(
    numbers: tuple[int, ...], threads: int, world_size: int
) -> None:
    cores = Cores(numbers)
    owned = [cores.of_rank(rank, threads) for rank in range(world_size)]
    together = cores.of_ranks(world_size, threads)
    assert together == {core for each in owned for core in each} <= set(numbers)
    assert (len(together) == world_size * threads) == (not cores.oversubscribed(world_size, threads))


def test_neighbouring_ranks_sit_on_neighbouring_cores() -> None:
    cores = Cores((4, 5, 6, 7))
    assert [cores.of_rank(rank, 2) for rank in range(3)] == [(4, 5), (6, 7), (4, 5)]


@pytest.mark.parametrize(("limit", "ranks"), [(None, 4), (8.0, 4), (2.5, 2), (0.5, 0)])
def test_a_containers_limit_is_what_ranks_can_have(limit: float | None, ranks: int) -> None:
    cores = Cores((0, 1, 2, 3), limit)
    assert not cores.oversubscribed(ranks, threads=1)
    assert cores.oversubscribed(ranks + 1, threads=1)


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
    assert throttled_s(groups.root, groups.own) == 1.5


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


def test_a_kernel_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "none", tmp_path / "gone") is None
    assert throttled_s(tmp_path / "none", tmp_path / "gone") is None
