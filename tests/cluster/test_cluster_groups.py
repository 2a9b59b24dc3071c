import importlib
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from patience import FOREVER_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig, Progress, RankGroupError
from pytest_gpt_dist.cluster.rank import RankInfo, report_progress, this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import own_cores
from pytest_gpt_dist.host.gpus import installed_gpus
from pytest_gpt_dist.parallel.process_groups import make_subgroups


@dataclass(frozen=True)
class Order:
    """Something of a test module's own that travels to the ranks and back."""

    factor: int


def times_rank(order: Order) -> tuple[int, Order]:
    return order.factor * this_rank().rank, order


def sum_of_ranks() -> float:
    total = torch.tensor([float(this_rank().rank)])
    dist.all_reduce(total)
    return total.item()


def sum_in_halves() -> tuple[float, bool, bool, bool]:
    halves = [(0, 1), (2, 3)]
    group = make_subgroups(halves, "sum")
    total = torch.tensor([float(this_rank().rank)])
    dist.all_reduce(total, group=group)
    again, other = make_subgroups(halves, "sum"), make_subgroups(halves, "another purpose")
    alone = make_subgroups([(0,), (1,), (2,), (3,)], "sum")
    return total.item(), again is group, other is group, alone is None


def one_pair_only() -> float | None:
    group = make_subgroups([(1, 2)], "one pair")
    if group is None:
        return None
    total = torch.tensor([float(this_rank().rank)])
    dist.all_reduce(total, group=group)
    return total.item()


def bad_partition() -> str:
    try:
        make_subgroups([(0, 1), (1, 0)])
    except ValueError as error:
        return str(error)
    return "accepted"


def seen() -> tuple[set[int], int, str, RankInfo]:
    return os.sched_getaffinity(0), torch.get_num_threads(), os.environ["GLOO_SOCKET_IFNAME"], this_rank()


def import_one(name: str) -> bool:
    fresh = name not in sys.modules
    importlib.import_module(name)
    return fresh


def variable(name: str) -> tuple[str | None, str]:
    return os.environ.get(name), os.getcwd()


def torchrun_variables() -> list[str]:
    return [os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")]


def inherited() -> tuple[str, list[str], bool]:
    links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
    return links["0"], sorted(links.values()), os.getpgid(0) == os.getpid()


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def talk() -> None:
    print("a word from rank", this_rank().rank)
    os.system("echo a word from its child")


def count_up(steps: int) -> None:
    for step in range(steps):
        report_progress("counting", step + 1, steps)


def echo(value: object) -> object:
    return value


def set_and_get(values: list[int], value: int) -> int:
    values.append(value)
    return len(values)


def test_results_come_back_by_rank(cluster: Cluster) -> None:
    results = cluster.group(4).run(times_rank, Order(10))
    assert results == [(10 * rank, Order(10)) for rank in range(4)]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_are_joined_in_one_process_group(cluster: Cluster, world_size: int) -> None:
    assert cluster.group(world_size).run(sum_of_ranks) == [sum(range(world_size))] * world_size


def test_subgroups_are_kept_by_ranks_and_purpose(cluster: Cluster) -> None:
    assert cluster.group(4).run(sum_in_halves) == [
        (total, True, False, True) for total in (1.0, 1.0, 5.0, 5.0)
    ]


def test_ranks_outside_a_subgroup_help_to_make_it(cluster: Cluster) -> None:
    assert cluster.group(4).run(one_pair_only) == [None, 3.0, 3.0, None]


def test_a_partition_has_each_rank_once(cluster: Cluster) -> None:
    assert all("two parts" in line for line in cluster.group(2).run(bad_partition))


def test_a_group_is_reused_and_has_a_process_for_each_rank(cluster: Cluster) -> None:
    group = cluster.group(2)
    assert cluster.group(2) is group
    assert group.run(os.getpid) == list(group.pids)
    assert len({*group.pids, os.getpid()}) == 3


def test_big_arguments_and_results_travel(cluster: Cluster) -> None:
    value = os.urandom(3_000_000)
    assert cluster.group(2).run(echo, value) == [value, value]


def test_each_call_has_its_own_copy_of_its_arguments(cluster: Cluster) -> None:
    values: list[int] = []
    assert cluster.group(2).run(set_and_get, values, 5) == [1, 1]
    assert values == []


def test_a_rank_owns_its_cores_and_says_what_it_is(cluster: Cluster) -> None:
    cores = sorted(os.sched_getaffinity(0))
    for rank, (affinity, threads, interface, info) in enumerate(cluster.group(3).run(seen)):
        assert affinity == {cores[rank % len(cores)]} == set(info.cpus)
        assert threads == 1 == info.threads
        assert interface == "lo"
        assert (info.rank, info.world_size, info.device, info.backend) == (rank, 3, "cpu", "gloo")
        assert not info.staged
        assert info.oversubscribed == own_cores().oversubscribed(3, threads=1)
    assert [info.rank for info in cluster.group(3).infos] == [0, 1, 2]


def test_threads_and_pinning_follow_the_configuration(tmp_path: Path) -> None:
    config = ClusterConfig("cpu", threads_per_rank=2, pin_cpus=False, log_dir=tmp_path)
    with Cluster(config) as cluster:
        [(affinity, threads, _, info)] = cluster.group(1).run(seen)
    assert affinity == os.sched_getaffinity(0)
    assert (threads, info.threads) == (2, 2)
    assert info.oversubscribed == own_cores().oversubscribed(1, threads=2)


def test_ranks_inherit_nothing_but_their_own(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "open in the controller"
    with path.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as other:
            [(stdin, links, leads_its_group)] = other.group(1).run(inherited)
    assert stdin == "/dev/null"
    assert str(path) not in links
    assert leads_its_group
    assert any(link.startswith("socket:") for link in links)
    # Its line to the controller, the store's listening socket, and nothing of the server's.
    assert not any("pidfd" in link for link in links)


def test_what_torchrun_would_set_is_set(cluster: Cluster) -> None:
    assert cluster.group(2).run(torchrun_variables) == [[str(r), str(r), "2", "127.0.0.1"] for r in range(2)]


def test_output_goes_to_a_file_of_each_rank(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster:
        cluster.group(2).run(talk)
    for rank in range(2):
        [log] = tmp_path.glob(f"*/rank{rank}.log")
        assert log.read_text() == f"a word from rank {rank}\na word from its child\n"
    assert "a word" not in capfd.readouterr().out


def test_progress_is_heard_and_the_end_of_a_stage_is_never_lost(cluster: Cluster) -> None:
    heard: list[tuple[int, Progress]] = []
    cluster.group(2).run(count_up, 5000, on_progress=lambda rank, progress: heard.append((rank, progress)))
    for rank in range(2):
        mine = [progress for who, progress in heard if who == rank]
        assert mine[-1] == Progress("counting", 5000, 5000)
        assert len(mine) < 500  # thinned out


def test_what_a_rank_imports_is_progress(cluster: Cluster) -> None:
    heard: list[Progress] = []
    group = cluster.group(1)
    assert group.run(import_one, "sched", on_progress=lambda _, progress: heard.append(progress)) == [True]
    assert Progress("importing") in heard


def test_a_changed_environment_and_directory_reach_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster:
        before = cluster.group(1).run(variable, "GPT_DIST_TEST")
        monkeypatch.setenv("GPT_DIST_TEST", "new")
        monkeypatch.chdir(tmp_path)
        assert cluster.group(2).run(variable, "GPT_DIST_TEST") == [("new", str(tmp_path))] * 2
        assert cluster.group(1).run(variable, "GPT_DIST_TEST") == before == [(None, before[0][1])]


def test_the_variable_that_pytest_changes_for_every_test_starts_no_server(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cluster.group(1)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "another")
    [server] = {_parent(pid) for pid in (*first.pids, *cluster.group(3).pids)}
    first.kill()
    assert {_parent(pid) for pid in cluster.group(1).pids} == {server}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_clusters_live_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as other:
        results: dict[str, list[float]] = {}
        runs = [
            threading.Thread(target=lambda: results.update(one=cluster.group(2).run(sum_of_ranks))),
            threading.Thread(target=lambda: results.update(other=other.group(2).run(sum_of_ranks))),
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert results == {"one": [1.0, 1.0], "other": [1.0, 1.0]}
        assert not set(cluster.group(2).pids) & set(other.group(2).pids)


def test_closing_ends_every_process_and_is_idempotent(scratch: Path, all_gone: Callable[..., bool]) -> None:
    cluster = Cluster(ClusterConfig("cpu"))
    pids = (*cluster.group(1).pids, *cluster.group(2).pids)
    servers = {_parent(pid) for pid in pids}
    cluster.close()
    cluster.close()
    assert all_gone(*pids, *servers)
    assert list(scratch.iterdir()) == []
    with pytest.raises(RuntimeError, match="closed"):
        cluster.group(1)


def test_a_group_of_nobody_is_refused(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="a group of 0: expected a whole number from 1"):
        cluster.group(0)


@pytest.mark.skipif(bool(installed_gpus()), reason="needs a machine without a GPU")
def test_a_gpu_that_torch_cannot_use_is_an_error_that_says_why(tmp_path: Path) -> None:
    with (
        Cluster(ClusterConfig("cuda", log_dir=tmp_path)) as cluster,
        pytest.raises(UsageError, match=r"^torch cannot use the GPUs: .*$") as caught,
    ):
        cluster.group(2)
    if torch.version.cuda is None:
        assert "is a build without CUDA" in str(caught.value)


def test_a_server_with_threads_does_not_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"import threading, time\nthreading.Thread(target=time.sleep, args=({FOREVER_S},), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.fspath(folder), prepend=os.pathsep)
    with (
        Cluster(ClusterConfig("cpu", log_dir=tmp_path)) as cluster,
        pytest.raises(RankGroupError, match="started threads") as caught,
    ):
        cluster.group(2)
    assert caught.value.kind == "start"


def test_asking_who_am_i_outside_a_rank_is_an_error() -> None:
    for ask in (this_rank, lambda: report_progress("loading")):
        with pytest.raises(RuntimeError, match="not a rank"):
            ask()
