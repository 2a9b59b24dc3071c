"""Rounds of ranks: in step, prepared outside of the clock, and as many on every rank."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.host.device import PeakMemory
from pytest_gpt_dist.measure.rank_rounds import TimedRounds, anywhere, largest, run_rounds
from pytest_gpt_dist.measure.rounds import Reading, Timing
from pytest_gpt_dist.measure.statistics import YARDSTICK_SHARE, is_due
from pytest_gpt_dist.measure.yardstick import Yardstick

CPU = torch.device("cpu")
THREE = Timing(warmup=2, rounds=3, min_rounds=1, max_time_s=1.0)
UNTIL_PRECISE = Timing(warmup=0, rounds=None, min_rounds=4, max_time_s=1e-9)


class Noting:
    """Work that notes what is called, and whether garbage is collected meanwhile."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def prepare(self) -> None:
        self.calls.append("prepare")

    def run(self) -> None:
        self.calls.append("run with collection" if gc.isenabled() else "run")

    def outcome(self) -> int:
        self.calls.append("outcome")
        return self.calls.count("run")


def note(timing: Timing | None) -> tuple[list[str], TimedRounds[int], bool]:
    work = Noting()
    done = run_rounds(work, CPU, timing)
    return work.calls, done, gc.isenabled()


class LateIsReady:
    """Rank 1 is ready late; it says so in a file, for which rank 0 looks when its clock runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def prepare(self) -> None:
        self._number += 1
        if this_rank().rank == 1:
            time.sleep(0.05)
            (self._folder / str(self._number)).touch()

    def run(self) -> None:
        self._was_ready = (self._folder / str(self._number)).exists()

    def outcome(self) -> bool:
        return self._was_ready


def wait_for_the_late(folder: str) -> list[bool]:
    return [each.outcome for each in run_rounds(LateIsReady(Path(folder)), CPU, THREE).rounds]


class Uneven:
    """Rank 1 takes longer."""

    def prepare(self) -> None: ...

    def run(self) -> None:
        time.sleep(0.01 * this_rank().rank)

    def outcome(self) -> None: ...


def count_uneven(timing: Timing) -> int:
    return len(run_rounds(Uneven(), CPU, timing).rounds)


def agree() -> tuple[list[float], bool, bool]:
    rank = this_rank().rank
    return largest(rank, -rank), anywhere(rank == 1), anywhere(rank == 2)


@pytest.fixture(scope="module")
def two() -> Iterator[RankGroup]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster.group(2)


def test_a_round_is_prepared_run_and_read_and_warm_up_rounds_are_left_out(two: RankGroup) -> None:
    calls, done, _ = two.run(note, THREE)[0]
    assert calls == ["prepare", "run", "outcome"] * 5
    assert [each.outcome for each in done.rounds] == [3, 4, 5]


def test_the_span_holds_the_timed_rounds(two: RankGroup) -> None:
    _, done, _ = two.run(note, THREE)[0]
    began_s, ended_s = done.span_s
    assert sum(each.seconds for each in done.rounds) <= ended_s - began_s


def test_without_timing_there_is_one_round_and_no_warm_up(two: RankGroup) -> None:
    calls, done, _ = two.run(note, None)[1]
    assert calls == ["prepare", "run", "outcome"]
    assert len(done.rounds) == 1


def test_garbage_is_collected_again_after_the_rounds(two: RankGroup) -> None:
    assert [collects for *_, collects in two.run(note, THREE)] == [True, True]


def test_a_round_begins_when_the_last_rank_is_ready(two: RankGroup, tmp_path: Path) -> None:
    assert two.run(wait_for_the_late, str(tmp_path)) == [[True] * 3] * 2


def test_ranks_of_unlike_speed_run_as_many_rounds(two: RankGroup) -> None:
    assert two.run(count_uneven, UNTIL_PRECISE) == [4, 4]


def test_ranks_agree_on_the_largest(two: RankGroup) -> None:
    assert two.run(agree) == [([1, 0], True, False)] * 2


class Sleeping(Noting):
    """Rounds that pay for readings between them."""

    def run(self) -> None:
        time.sleep(0.4)


def beside_rounds(_: int) -> tuple[tuple[Reading, ...], bool]:
    peak = PeakMemory(CPU)
    yardstick = Yardstick(CPU)
    grown = peak.read()
    peak = PeakMemory(CPU)
    done = run_rounds(Sleeping(), CPU, Timing(0, 2, 1, 1.0), yardstick)
    added = peak.read()
    small = grown is None or added is None or added < grown / 4
    return done.yardstick, small


def test_a_yardstick_is_read_beside_the_rounds_by_all_ranks(two: RankGroup) -> None:
    (readings, _), (theirs, _) = two.run(beside_rounds, 0)
    assert readings == theirs  # the slowest rank's
    assert 2 <= len(readings) <= 4
    assert all(reading.all_reduce_s and min(reading.read_s, reading.product_s) > 0 for reading in readings)


def test_the_memory_of_a_yardstick_is_no_part_of_a_peak_that_begins_after_it(two: RankGroup) -> None:
    assert all(small for _, small in two.run(beside_rounds, 0))


def test_readings_between_rounds_cost_at_most_their_share() -> None:
    assert is_due(spent_s=0.0, last_s=0.01, rounds_s=0.01 / YARDSTICK_SHARE)
    assert not is_due(spent_s=0.0, last_s=0.01, rounds_s=0.0099 / YARDSTICK_SHARE)
    assert not is_due(spent_s=0.01, last_s=0.01, rounds_s=0.019 / YARDSTICK_SHARE)
