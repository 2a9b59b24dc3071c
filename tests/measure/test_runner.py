"""The core runs, repeats and compares cases of a mode that it knows nothing about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from made_mode import SORTING, Sorting, SortingMode
from pytest_gpt_dist.cluster import OWN, Cluster, ClusterConfig, RankGroup, Side
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner, Watching
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.results.result_format import add_format
from readings import on_gpu

MACHINE = Machine("cpu", (), None, "gloo", 1, False, Cores((0, 1)))
TIMING = Timing(warmup=0, rounds=3, min_rounds=1, max_time_s=1.0, launches=2)


class Groups:
    """New ranks for each launch."""

    def __init__(self) -> None:
        self.renewed = 0
        self._cluster = Cluster(ClusterConfig(device="cpu"))

    def group(self, world_size: int) -> RankGroup:
        return self._cluster.group(world_size)

    def renew(self, side: Side = OWN) -> None:
        self.renewed += 1

    def close(self) -> None:
        self._cluster.close()


@pytest.fixture(scope="module")
def groups() -> Iterator[Groups]:
    add_format(SORTING.mode, "made_mode:SORTING")
    made = Groups()
    yield made
    made.close()


QUIET = Launch((), (), None, on_gpu({"throttling": ()}, {}))
HOT = Launch((), (), None, on_gpu({"throttling": ("thermal",)}, {}))


def run(groups: Groups, case: Sorting) -> Result:
    mode = SortingMode(ModeContext(Options(), Registry(), MACHINE, groups, Path))
    runner = CaseRunner(mode, groups, MACHINE)
    return runner.run(case, TIMING, lambda: mode.cases.alone(case), lambda text: None)


def test_a_case_of_any_mode_is_launched_timed_and_scaled(groups: Groups) -> None:
    before = groups.renewed
    found = run(groups, Sorting(Layout(dp=2)))
    assert found.samples == (0.25,) * 6  # two launches of three rounds
    assert (found.throughput, found.speedup, found.efficiency) == (4.0, 2.0, 1.0)
    assert found.extra_info["reference"] == {
        "engine": "sorted", "gpus": 1, "lists_per_s": 2.0, "origin": "measured on demand",
    }  # fmt: skip
    assert groups.renewed - before == 4  # each launch, and each of the one-device case, has new processes


def test_a_wrong_result_of_any_mode_has_no_number(groups: Groups) -> None:
    with pytest.raises(WrongResultError, match="not sorted"):
        run(groups, Sorting(Layout(), (4, 5)))


def test_disturbed_launches_are_measured_again_until_the_case_has_no_repeats_left(groups: Groups) -> None:
    mode = SortingMode(ModeContext(Options(), Registry(), MACHINE, groups, Path))
    runner = CaseRunner(mode, groups, MACHINE, Watching(repeats=2))
    case, launches = Sorting(Layout()), iter([HOT, QUIET, QUIET, HOT, HOT, QUIET])
    assert runner.undisturbed(case, launches.__next__).repeated == ("throttled: thermal",)
    assert runner.undisturbed(case, launches.__next__) is QUIET
    second = runner.undisturbed(case, launches.__next__)
    assert (second.observation, second.repeated) == (HOT.observation, ("throttled: thermal",))
    assert next(launches) is QUIET  # nothing more was measured


def test_a_session_that_compares_nothing_measures_no_launch_again(groups: Groups) -> None:
    mode = SortingMode(ModeContext(Options(), Registry(), MACHINE, groups, Path))
    launches = iter([HOT, QUIET])
    assert CaseRunner(mode, groups, MACHINE).undisturbed(Sorting(Layout()), launches.__next__) is HOT
