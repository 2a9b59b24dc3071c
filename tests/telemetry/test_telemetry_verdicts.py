"""What marks of a disturbed machine do to verdicts."""

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_gpt_dist.compare.ab import judge_sides
from pytest_gpt_dist.compare.baselines import NEWEST_SESSIONS
from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.session_verdicts import judge_session
from pytest_gpt_dist.compare.verdict import Verdict

HEAT = "throttled: thermal"


def case(seconds: float, *marks: str, saved_at: str = "") -> MeasuredCase:
    info = {"fingerprint": {}, "launches": [[seconds]], "marks": list(marks)}
    return MeasuredCase.of("case", info, saved_at)


def judge(now: MeasuredCase, baselines: Sequence[MeasuredCase]) -> Verdict:
    (verdict,) = judge_session([now], baselines, {"case": 0.02})
    return verdict


STEADY = [case(1.0 + 0.001 * number, saved_at=str(number)) for number in range(9)]


@pytest.mark.parametrize(("seconds", "kind"), [(2.0, "regressed"), (0.5, "improved")])
def test_a_change_of_a_disturbed_session_is_in_doubt(seconds: float, kind: str) -> None:
    assert judge(case(seconds, "drifting: slowing down"), STEADY).kind == kind
    doubted = judge(case(seconds, HEAT, "swapped"), STEADY)
    assert doubted.kind == "inconclusive"
    assert doubted.why.startswith(f"{HEAT}, swapped: end that, then measure again; otherwise {kind}: beyond")
    assert not doubted.fails


def test_no_change_of_a_disturbed_session_stays_none() -> None:
    assert judge(case(1.0, HEAT), STEADY) == judge(case(1.0), STEADY)


def test_a_disturbed_session_is_no_baseline_and_that_is_said() -> None:
    verdict = judge(case(1.0), [*STEADY, case(5.0, HEAT), case(6.0, HEAT, "swapped")])
    assert (verdict.kind, verdict.used) == ("unchanged", 9)
    assert verdict.why.endswith("; disturbed sessions left out: 2 (throttled, swapped)")


def test_disturbed_sessions_before_the_newest_are_forgotten() -> None:
    nights = [case(1.0 + 1e-4 * number, saved_at=f"{number:02}") for number in range(1, NEWEST_SESSIONS + 1)]
    strangers = [case(5.0, f"shared device: pid {number}", saved_at="00") for number in range(3)]
    assert "disturbed" not in judge(case(1.0), [*strangers, *nights]).why
    late = [case(5.0, f"shared device: pid {number}", saved_at="20.5") for number in range(3)]
    verdict = judge(case(1.0), [*strangers, *nights, *late])
    assert verdict.why.endswith("; disturbed sessions left out: 3 (shared device)")


def test_only_disturbed_sessions_leave_nothing_to_compare_with() -> None:
    verdict = judge(case(1.0), [case(5.0, HEAT)])
    assert verdict.kind == "no-baseline"
    assert verdict.why == "every saved session of it was disturbed (throttled)"


def figures(seconds: float) -> dict[str, float | None]:
    return {"seconds_per_token": seconds, "ttft_s": 0.1, "itl_p95_s": None, "peak_memory_bytes": None}


def paired(ratio: float, before: Sequence[str] | None, after: Sequence[str]) -> Verdict:
    pairs = [
        {"before": figures(1.0), "after": figures(ratio * (1 + 0.001 * (number % 3)))} for number in range(12)
    ]
    against: dict[str, Any] = {
        "problem": None, "screening": pairs[:4], "confirmation": pairs, "null_control": [], "marks": before,
    }  # fmt: skip
    info = {"against": against, "tokens_per_s": 1 / ratio, "marks": after}
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    return verdict


@pytest.mark.parametrize(
    ("before", "after", "said"), [([HEAT], [], f"before {HEAT}: "), ([], [HEAT], f"after {HEAT}: ")]
)
def test_a_change_between_sides_is_in_doubt_if_either_was_disturbed(
    before: list[str], after: list[str], said: str
) -> None:
    assert paired(1.2, [], ["tokens vary"]).kind == "regressed"
    verdict = paired(1.2, before, after)
    assert verdict.kind == "inconclusive"
    assert verdict.why.startswith(said)


def test_a_side_that_saved_no_marks_was_not_disturbed() -> None:
    assert paired(0.8, None, []).kind == "improved"
