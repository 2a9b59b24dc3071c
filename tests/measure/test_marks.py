"""What is said beside doubtful numbers."""

from dataclasses import replace

from made_case import CASE, inference_mode
from pytest_gpt_dist.inference.messages import RankReport
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.envelope import marks as marks_of
from pytest_gpt_dist.measure.result import Launch


def launch(*rounds_s: float, noted: float = 1.0) -> Launch:
    """A launch of one rank whose only token came after ``noted`` of each round."""
    rounds = tuple(Round(s, ((BatchTimes(((0,),), ((s * noted,),)),),)) for s in rounds_s)
    return Launch((RankReport(None, 0),), rounds, [[1]], None)


def marks(launches: list[Launch]) -> list[str]:
    return marks_of(inference_mode(), CASE, launches)


STEADY = (1.0, 1.02, 0.99, 1.01, 1.0, 0.98, 1.01, 0.99, 1.0, 1.01)
SINKING = tuple(1 + 0.01 * number for number in range(10))


def test_steady_launches_are_not_marked() -> None:
    assert marks([launch(*STEADY), launch(*STEADY)]) == []


def test_a_launch_that_slows_down_is_marked_once() -> None:
    assert marks([launch(*STEADY), launch(*SINKING), launch(*SINKING)]) == ["drifting: slowing down"]


def test_a_launch_that_had_not_warmed_up_is_marked() -> None:
    assert marks([launch(*reversed(SINKING))]) == ["drifting: warming up"]


def test_a_level_shift_between_launches_is_no_drift() -> None:
    assert marks([launch(*STEADY), launch(*(2 * s for s in STEADY))]) == []


def test_latencies_that_leave_out_a_part_of_the_round_are_marked() -> None:
    assert marks([launch(*STEADY, noted=0.9)]) == ["latencies do not add up"]


def test_launches_with_different_tokens_are_marked() -> None:
    assert marks([launch(1.0), replace(launch(1.0), output=[[2]])]) == ["tokens vary"]
