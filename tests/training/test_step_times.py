"""Where the time of a step goes, by what ranks note."""

import time

import pytest

from pytest_gpt_dist.training.step_clock import StepClock
from pytest_gpt_dist.training.step_times import StepTimes, step_overheads

WORLD = (0, 1)


def times(*collectives_s: float, hops_s: float = 0.0) -> StepTimes:
    return StepTimes(((WORLD, collectives_s),), hops_s, 0.0, 0.0)


def test_the_shortest_stay_in_a_collective_is_its_own_and_the_rest_is_waiting() -> None:
    found = step_overheads([10.0, 8.0], [times(1.0, 4.0), times(3.0, 2.0, hops_s=2.0)])
    assert found is not None
    assert found.communication_s == 1.0 + 2.0
    assert found.bubble_s == 1.0
    assert found.imbalance_s == (2.0 + 2.0) / 2 + (0.0 + 2.0) / 2


def test_groups_are_each_their_own() -> None:
    own = [StepTimes((((rank,), (5.0 + rank,)),), 0.0, 0.0, 0.0) for rank in WORLD]
    found = step_overheads([9.0, 9.0], own)
    assert found is not None
    assert (found.communication_s, found.imbalance_s) == (5.5, 0.0)


def test_ranks_that_cannot_tell_have_no_overheads() -> None:
    assert step_overheads([1.0, 1.0], [times(), None]) is None


def test_a_collective_that_a_rank_did_not_take_part_in_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        step_overheads([1.0, 1.0], [times(1.0), times(1.0, 1.0)])


def test_communication_within_a_part_is_not_counted_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = StepClock()
    monkeypatch.setattr("pytest_gpt_dist.training.step_clock._ranks", lambda _: WORLD)
    with clock.part("optimizer"):
        now[0] = 5.0
        clock.note_collective(2.0)
    found = clock.read()
    assert (found.optimizer_s, found.collectives_s) == (3.0, ((WORLD, (2.0,)),))
    assert clock.read() == StepTimes((), 0.0, 0.0, 0.0)
