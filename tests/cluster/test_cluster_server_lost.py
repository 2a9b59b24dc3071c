"""Whoever starts ranks ends, stops or is slow: what is said of it, how long that takes, and what is left."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup, RankGroupError, Side
from pytest_gpt_dist.cluster.local.client import LocalServer
from pytest_gpt_dist.cluster.watch import Watch

TIMEOUT_S = 2.0
"""Of an impatient cluster: an interpreter starts within it on a busy machine."""
AllGone = Callable[..., bool]


@pytest.fixture
def python(tmp_path: Path) -> str:
    """What to start in place of an interpreter, to have a server whose ranks have no torch."""
    path = tmp_path / "python"
    body = "import sys\nsys.path[:0] = {path!r}\nfrom light_server import main\nmain()\n"
    path.write_text(f"#!{sys.executable}\n{body.format(path=[str(Path(__file__).parent), *sys.path])}")
    path.chmod(0o700)
    return os.fspath(path)


@pytest.fixture
def light(python: str, scratch: Path) -> ClusterConfig:
    return ClusterConfig("cpu", timeout_s=60, side=Side(python))


@pytest.fixture
def impatient_light(light: ClusterConfig) -> ClusterConfig:
    return replace(light, timeout_s=TIMEOUT_S)


def server_of(group: RankGroup) -> int:
    return int(Path(f"/proc/{group.pids[0]}/stat").read_text().rpartition(")")[2].split()[1])


def test_closing_ends_every_group_of_a_server_that_was_killed(
    light: ClusterConfig, scratch: Path, all_gone: AllGone
) -> None:
    with Cluster(light) as cluster:
        groups = [cluster.group(count) for count in (1, 2, 3)]
        os.kill(server_of(groups[0]), signal.SIGKILL)
    assert all_gone(*(pid for group in groups for pid in group.pids))
    assert not any(group.alive for group in groups)
    assert list(scratch.iterdir()) == []


def test_closing_goes_on_after_a_group_that_cannot_be_closed(
    light: ClusterConfig, scratch: Path, all_gone: AllGone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(group: RankGroup, deadline: object) -> None:
        raise OSError("no way")

    cluster = Cluster(light)
    groups = [cluster.group(count) for count in (1, 2, 3)]
    monkeypatch.setattr(RankGroup, "_wait_for_ends", fail)
    with pytest.raises(OSError, match="no way"):
        cluster.close()
    assert all_gone(*(pid for group in groups for pid in group.pids))
    assert list(scratch.iterdir()) == []


# A server that ends at once may have removed its folder before anything in it could be kept.
@pytest.mark.parametrize(("ends_late_s", "kept"), [("0", set()), ("0.3", {"rank0.log", "rank1.log"})])
def test_a_server_that_was_ended_is_the_cause(
    light: ClusterConfig, scratch: Path, monkeypatch: pytest.MonkeyPatch, ends_late_s: str, kept: set[str]
) -> None:
    monkeypatch.setattr("pytest_gpt_dist.cluster.watch.GRACE_S", 0.05)  # ranks' lines close before its own
    monkeypatch.setenv("LIGHT_SERVER_ENDS_LATE_S", ends_late_s)
    with Cluster(light) as cluster:
        group = cluster.group(2)
        threading.Timer(0.1, os.kill, (server_of(group), signal.SIGTERM)).start()
        with pytest.raises(
            RankGroupError, match=r"^2 ranks: the server of the ranks was ended by SIGTERM"
        ) as caught:
            group.run(time.sleep, 600)
        assert cluster.group(2).run(os.getpid) == list(cluster.group(2).pids)
    assert (caught.value.kind, caught.value.ranks) == ("death", ())
    assert {path.name for path in scratch.rglob("*.log")} >= kept


def test_a_server_that_is_stopped_costs_the_timeout_and_says_so(
    impatient_light: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_gpt_dist.cluster.local.client.ANSWER_S", 0.1)
    with Cluster(impatient_light) as cluster:
        stopped = server_of(cluster.group(1))
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(RankGroupError) as caught:
            cluster.group(2)
        line = "2 ranks could not start: the server of the ranks was silent for 2 s, T (stopped)"
        assert str(caught.value).startswith(line)
        assert cluster.group(1).run(os.getpid) == list(cluster.group(1).pids)


def test_a_server_that_imports_is_not_silent(
    impatient_light: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_SERVER_GREETS_LATE_S", str(TIMEOUT_S + 0.4))
    with Cluster(impatient_light) as cluster:
        assert cluster.group(1).run(os.getpid) == list(cluster.group(1).pids)


def test_the_kernels_killing_of_a_server_is_said_with_the_limit(
    light: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 7
    for module in ("local.client", "group"):
        monkeypatch.setattr(f"pytest_gpt_dist.cluster.{module}.out_of_memory_kills", lambda: kills)
    monkeypatch.setattr("pytest_gpt_dist.cluster.local.client.memory_limit_bytes", lambda: 2**26)
    with Cluster(light) as cluster:
        group = cluster.group(2)

        def kill() -> None:
            nonlocal kills
            kills += 1
            os.kill(server_of(group), signal.SIGKILL)

        threading.Timer(0.1, kill).start()
        with pytest.raises(RankGroupError) as caught:
            group.run(time.sleep, 600)
    assert caught.value.kind == "memory"
    line = str(caught.value).splitlines()[0]
    assert (
        "the server of the ranks was killed by SIGKILL while the kernel's out-of-memory killer was at work"
        in line
    )
    assert "the memory limit of this container or service is 64.00 MiB; lower the batch size" in line


def test_a_scratch_folder_that_is_gone_hides_no_cause(light: ClusterConfig, scratch: Path) -> None:
    with Cluster(light) as cluster:
        group = cluster.group(2)
        for folder in scratch.iterdir():
            shutil.rmtree(folder)
        with pytest.raises(RankGroupError, match=r"^rank \d ended with exit status 3 before it returned"):
            group.run(os._exit, 3)
        assert cluster.group(2).run(os.getpid) == list(cluster.group(2).pids)
    assert list(scratch.iterdir()) == []


def test_a_killing_that_fails_hides_no_cause(light: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(watch: Watch) -> None:
        raise KeyboardInterrupt

    def fail(server: LocalServer, pids: object) -> None:
        raise OSError("no way")

    with Cluster(light) as cluster:
        group = cluster.group(1)
        monkeypatch.setattr(Watch, "wait", interrupt)
        monkeypatch.setattr(LocalServer, "kill", fail)
        with pytest.raises(KeyboardInterrupt):
            group.run(os.getpid)


def without_loopback() -> list[str]:
    command = ["unshare", "--map-root-user", "--net"]
    try:
        possible = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        possible = False
    if not possible:
        pytest.skip("this machine gives nobody a network of its own")
    return command


def test_a_loopback_interface_that_is_down_is_named_at_once(python: str) -> None:
    command = without_loopback()
    script = textwrap.dedent(
        """
        import sys
        from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError, Side
        with Cluster(ClusterConfig("cpu", timeout_s=60, side=Side(sys.argv[1]))) as cluster:
            try:
                cluster.group(2)
            except RankGroupError as error:
                print(error)
        """
    )
    run = subprocess.run(
        [*command, sys.executable, "-c", script, python],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (
        "2 ranks could not start: they cannot meet; 127.0.0.1 takes no connections at port" in run.stdout
    ), run
    assert "bring up the loopback interface" in run.stdout


def test_too_few_open_files_are_named(python: str) -> None:
    script = textwrap.dedent(
        """
        import os, resource, sys
        from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError, Side
        with Cluster(ClusterConfig("cpu", timeout_s=60, side=Side(sys.argv[1]))) as cluster:
            cluster.group(1)
            most = len(os.listdir("/proc/self/fd")) + 2
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            try:
                cluster.group(8)
            except RankGroupError as error:
                print(error)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", script, python], capture_output=True, text=True, timeout=50, check=False
    )
    assert "8 ranks could not start: " in run.stdout, run
    assert "files are open: raise the limit (ulimit -n)" in run.stdout
