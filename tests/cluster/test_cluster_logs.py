"""What ranks and the group that holds them write down of their work."""

import logging
import re
import sys
from collections.abc import Iterator

import pytest

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.parallel.process_groups import make_subgroups


def say() -> None:
    """A message of each level, of a module of the package and of somebody else's."""
    for name in ("pytest_gpt_dist.measure", "somebody.else"):
        logger = logging.getLogger(name)
        logger.debug("a detail of %s", name)
        logger.info("an information of %s", name)
        logger.warning("a warning of %s", name)


def pair_up() -> None:
    make_subgroups([(0, 1)], "a pair")


def configure_logging() -> None:
    logging.basicConfig(stream=sys.stderr, force=True)
    logging.getLogger("pytest_gpt_dist").warning("configured")


def fail() -> None:
    raise ValueError(f"no luck on {this_rank().rank}")


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    logs = tmp_path_factory.mktemp("talkative")
    with Cluster(ClusterConfig("cpu", log_dir=logs, log_level="debug")) as cluster:
        yield cluster


def newest_lines(cluster: Cluster, rank: int) -> list[str]:
    """What a rank of the newest group has printed."""
    folder = cluster.config.log_dir
    assert folder is not None
    newest = max(folder.glob("2ranks-*"), key=lambda path: path.stat().st_ctime_ns)
    return (newest / f"rank{rank}.log").read_text().splitlines()


def test_a_rank_writes_time_level_and_who_it_is_into_its_output(talkative: Cluster) -> None:
    talkative.group(2).run(say)
    for rank in range(2):
        ours = [line for line in newest_lines(talkative, rank) if line.endswith("of pytest_gpt_dist.measure")]
        assert [re.sub(r"^[0-9]{4}-[0-9-]{5} [0-9:,]{12} ", "", line) for line in ours] == [
            f"DEBUG rank {rank}: a detail of pytest_gpt_dist.measure",
            f"INFO rank {rank}: an information of pytest_gpt_dist.measure",
            f"WARNING rank {rank}: a warning of pytest_gpt_dist.measure",
        ]


def test_groups_within_a_group_are_a_detail(talkative: Cluster) -> None:
    talkative.group(2).run(pair_up)
    assert any(
        line.endswith("DEBUG rank 1: ranks (0, 1) become a group: a pair")
        for line in newest_lines(talkative, 1)
    )


def test_code_that_configures_logging_does_not_double_the_lines(talkative: Cluster) -> None:
    talkative.group(2).run(configure_logging)
    assert sum("configured" in line for line in newest_lines(talkative, 0)) == 1


def test_only_warnings_are_written_unless_told(cluster: Cluster) -> None:
    group = cluster.group(2)
    before = [newest_lines(cluster, rank) for rank in range(2)]
    group.run(say)
    for rank in range(2):
        ours = [line for line in newest_lines(cluster, rank)[len(before[rank]) :] if " rank " in line]
        assert [line.partition(" WARNING ")[2] for line in ours] == [
            f"rank {rank}: a warning of pytest_gpt_dist.measure"
        ]


def test_the_controller_says_what_it_starts_and_kills(
    talkative: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pytest_gpt_dist")
    talkative.group(2).kill()
    pids = talkative.group(2).pids
    with pytest.raises(RankGroupError):
        talkative.group(2).run(fail)
    started, killed = (record.getMessage() for record in caplog.records[-2:])
    assert started.startswith("group of 2 started in ")
    assert str(pids) in started
    assert str(talkative.config.log_dir) in started
    assert killed.startswith(f"group of 2 is killed: processes {pids}, RankGroupError: rank ")
    assert "no luck" in killed


def test_without_a_session_the_packages_logger_is_like_any_librarys(talkative: Cluster) -> None:
    talkative.group(2)
    logger = logging.getLogger("pytest_gpt_dist")
    assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)
