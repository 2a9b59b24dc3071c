"""The order in which two sides are measured, and what becomes of their launches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_case import CASE
from pytest_gpt_dist.ab.other_side import Against, Named
from pytest_gpt_dist.ab.paired_runner import PairedCaseRunner, PairedRule
from pytest_gpt_dist.cluster import OWN, RankGroupError, Side
from pytest_gpt_dist.compare.ab import describe_sides, judge_sides
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.messages import RankReport
from pytest_gpt_dist.inference.mode import Checked, InferenceMode
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.report.verdicts import render_verdicts
from pytest_gpt_dist.telemetry.alerts import Alert
from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.reading import GpuReading
from readings import reading

OTHER = Side(python="/elsewhere/python")
TIMING = Timing(warmup=0, rounds=2, min_rounds=1, max_time_s=1.0)
RULE = PairedRule(min_effect=0.02, gates=(), null_control=False)
SCREENED = "AB BA AB BA"
CONFIRMED = "BA AB AB BA BA AB AB BA BA AB AB BA"


class Unchecked(InferenceMode):
    """Generation without a reference."""

    def check(self, case: Case, status: Callable[[str], None]) -> Checked:
        return Checked(None, True)


class Scripted:
    """Stands for ranks: launches take the times of a script, by side."""

    def __init__(self, seconds: Callable[[str, int], float]) -> None:
        self.order: list[str] = []
        self._seconds = seconds
        self.side = "B"

    def group(self, world_size: int) -> Any:
        return None  # asked where modules came from, which is of no interest with another interpreter

    def renew(self, side: Side = OWN) -> None:
        self.side = "A" if side is OTHER else "B"

    @property
    def mode(self) -> InferenceMode:
        machine = Machine("cpu", (), None, "gloo", 1, False, Cores((0, 1)))
        return Unchecked(ModeContext(Options(), Registry(), machine, self, Path))

    def launch(self, case: Case, timing: Timing, checked: Checked, status: Callable[[str], None]) -> Launch:
        self.order.append(self.side)
        s = self._seconds(self.side, len(self.order))
        rounds = (Round(2 * s, ((BatchTimes(((0,),), ((s, 2 * s),)),),)),) * 2
        return Launch((RankReport(None, 8, peak_memory_bytes=100),), rounds, [[1, 2]], None)

    def undisturbed(self, case: Case, measured: Callable[[], Launch]) -> Launch:
        return measured()

    def result(self, case: Case, timing: Timing, checked: Checked, launches: Sequence[Launch]) -> Result:
        samples = [[round.seconds / 2 for round in launch.rounds] for launch in launches]
        info: dict[str, Any] = {
            "launches": samples, "tokens_per_s": 1 / samples[0][0], "peak_memory_bytes": [100],
            "max_logit_error": 0.0, "tokens_sha256": "same", "marks": [],
        }  # fmt: skip
        return GenerationResult(output=[[1, 2]], layout=case.layout, extra_info=info)

    def scaled(self, case: Case, result: Result, *_: Any) -> Result:
        return result


def measure(script: Scripted, rule: PairedRule = RULE) -> dict[str, Any]:
    against = Against(Named("/elsewhere/python", python="/elsewhere/python"), OTHER, {"torch": "1"}, None)
    runner: Any = script
    result = PairedCaseRunner(runner, script, against).run(
        CASE, TIMING, rule, lambda: CASE, lambda text: None
    )
    return result.extra_info


def pairs(order: Sequence[str]) -> str:
    return " ".join("".join(order[start : start + 2]) for start in range(0, len(order), 2))


def wobble(side: str, number: int) -> float:
    """Launch noise of a tenth of a percent."""
    return 1 + 0.001 * ((number * 7) % 3 - 1)


def test_alike_sides_are_screened_and_no_more() -> None:
    script = Scripted(wobble)
    info = measure(script)
    assert pairs(script.order) == SCREENED
    assert info["against"]["confirmation"] == []
    assert len(info["launches"]) == len(info["against"]["launches"]) == 4
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert verdict.kind == "unchanged"


def test_a_suspect_gets_twelve_fresh_pairs_in_balanced_order() -> None:
    script = Scripted(lambda side, number: wobble(side, number) * (1.05 if side == "B" else 1))
    info = measure(script)
    assert pairs(script.order) == f"{SCREENED} {CONFIRMED}"
    assert [len(info["against"][part]) for part in ("screening", "confirmation")] == [4, 12]
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert (verdict.kind, verdict.used) == ("regressed", 12)
    assert verdict.effect == pytest.approx(0.05, abs=0.003)


def test_a_disturbed_launch_is_measured_again_on_its_own_side() -> None:
    class Disturbed(Scripted):
        def undisturbed(self, case: Case, measured: Callable[[], Launch]) -> Launch:
            left_out = measured()
            return replace(measured(), repeated=("swapped",)) if len(self.order) == 1 else left_out

    script = Disturbed(wobble)
    measure(script)
    plain = Scripted(wobble)
    measure(plain)
    assert script.order == plain.order[:1] + plain.order


def test_before_and_after_are_not_exchanged() -> None:
    info = measure(Scripted(lambda side, number: 2.0 if side == "B" else 1.0))
    assert info["tokens_per_s"] == 0.5
    assert info["against"]["tokens_per_s"] == 1.0
    assert [pair["before"]["seconds_per_token"] for pair in info["against"]["confirmation"]] == [1.0] * 12


def test_a_null_control_measures_this_side_alone_and_is_no_launch_of_the_result() -> None:
    script = Scripted(lambda side, number: wobble(side, number) * (1.05 if side == "B" else 1))
    info = measure(script, replace(RULE, null_control=True))
    assert script.order[32:] == ["B"] * 24
    assert len(info["against"]["null_control"]) == 12
    assert len(info["launches"]) == 16
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert verdict.kind == "regressed"


def test_what_the_machine_was_beyond_on_the_other_side_and_in_the_control_is_kept() -> None:
    class Hot(Scripted):
        def launch(self, *args: Any) -> Launch:
            launch = super().launch(*args)
            control = len(self.order) > 32
            where = "control" if control else self.side
            look = reading(0.0, gpus=[GpuReading(0, throttling=("thermal",) if control else ())])
            alert = Alert("temperature", "warning", where, 90.0, 80.0)
            return replace(launch, observation=Observation((look,), 0.0, 1.0, (alert,)))

    script = Hot(lambda side, number: wobble(side, number) * (1.05 if side == "B" else 1))
    info = measure(script, replace(RULE, null_control=True))
    assert [alert["where"] for alert in info["against"]["alerts"]] == ["A", "control"]
    assert info["marks"] == ["null control: throttled: thermal"]


def test_a_machine_that_favours_one_place_in_a_pair_flags_its_control() -> None:
    def seconds(side: str, number: int) -> float:
        slow = side == "B" if number <= 32 else number % 8 in (1, 4, 6, 7)  # the places of B in BA AB AB BA
        return wobble(side, number) * (1.05 if slow else 1)

    info = measure(Scripted(seconds), replace(RULE, null_control=True))
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert verdict.kind == "inconclusive"
    assert "the machine is not steady" in verdict.why


def test_a_latency_gates_only_where_it_is_asked_for() -> None:
    class LateFirstToken(Scripted):
        def launch(self, *args: Any) -> Launch:
            launch = super().launch(*args)
            late = 1.3 if self.order[-1] == "B" else 1.0
            rounds = (Round(2.0, ((BatchTimes(((0,),), ((late, 2.0),)),),)),) * 2
            return replace(launch, rounds=rounds)

    quiet = measure(LateFirstToken(wobble))
    assert quiet["against"]["confirmation"] == []
    assert [verdict.kind for verdict in judge_sides([("case", quiet)], {"case": 0.02}, ())] == ["unchanged"]
    (beside,) = describe_sides([("case", quiet)])
    ttft = dict(beside.changes)["TTFT"]
    assert ttft is not None
    assert ttft.effect == pytest.approx(0.3)

    gated = measure(LateFirstToken(wobble), replace(RULE, gates=("ttft",)))
    verdicts = judge_sides([("case", gated)], {"case": 0.02}, ("ttft",))
    assert {verdict.metric: verdict.kind for verdict in verdicts} == {
        "seconds_per_token": "unchanged",
        "ttft_s": "regressed",
    }


@pytest.mark.parametrize(
    "error", [WrongResultError("tokens differ\nat length"), RankGroupError("death", (), "rank 0 died")]
)
def test_another_side_that_fails_leaves_this_sides_figures_and_no_baseline(error: Exception) -> None:
    class Failing(Scripted):
        def launch(self, *args: Any) -> Launch:
            if self.side == "A":
                raise error
            return super().launch(*args)

    info = measure(Failing(wobble))
    assert len(info["launches"]) == 1
    assert info["against"]["problem"] == str(error).partition("\n")[0]
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert verdict.kind == "no-baseline"
    assert info["against"]["problem"] in verdict.why


def test_a_confirmation_that_breaks_off_leaves_the_screening_and_is_inconclusive() -> None:
    class Breaking(Scripted):
        def launch(self, *args: Any) -> Launch:
            if self.side == "A" and len(self.order) == 31:
                raise RankGroupError("death", (), "rank 0 was killed")
            return super().launch(*args)

    info = measure(Breaking(lambda side, number: 1.3 if side == "B" else 1.0))
    assert [len(info["against"][part]) for part in ("screening", "confirmation")] == [4, 0]
    (verdict,) = judge_sides([("case", info)], {"case": 0.02}, ())
    assert verdict.kind == "inconclusive"
    assert verdict.why.endswith("measure it again (rank 0 was killed)")


def test_after_a_case_this_side_is_the_live_one() -> None:
    script = Scripted(wobble)
    measure(script)
    assert script.side == "B"

    class Failing(Scripted):
        def launch(self, *args: Any) -> Launch:
            if self.side == "A":
                raise KeyboardInterrupt
            return super().launch(*args)

    interrupted = Failing(wobble)
    with pytest.raises(KeyboardInterrupt):
        measure(interrupted)
    assert interrupted.side == "B"


def test_a_number_of_launches_of_ones_own_is_refused() -> None:
    against = Against(Named("x", python="x"), OTHER, {}, None)
    script: Any = Scripted(wobble)
    with pytest.raises(UsageError, match="launches=3"):
        PairedCaseRunner(script, script, against).run(
            CASE, replace(TIMING, launches=3), RULE, lambda: CASE, lambda text: None
        )


def test_a_gate_on_gaps_that_do_not_exist_is_no_baseline() -> None:
    info = measure(Scripted(wobble))
    for pair in info["against"]["screening"]:
        for side in pair.values():
            side["itl_p95_s"] = None
    info["itl_s"] = None
    verdicts = judge_sides([("case", info)], {"case": 0.02}, ("itl",))
    assert [(verdict.metric, verdict.kind, verdict.after_s) for verdict in verdicts] == [
        ("seconds_per_token", "unchanged", pytest.approx(1, rel=0.01)),
        ("itl_p95_s", "no-baseline", None),
    ]
    (row,) = (line for line in render_verdicts(verdicts).splitlines() if "ITL p95" in line)
    assert row.split()[3:8] == ["-"] * 5


def test_this_side_that_fails_fails_the_case() -> None:
    class Failing(Scripted):
        def launch(self, *args: Any) -> Launch:
            raise WrongResultError("tokens differ")

    with pytest.raises(WrongResultError, match="tokens differ"):
        measure(Failing(wobble))
