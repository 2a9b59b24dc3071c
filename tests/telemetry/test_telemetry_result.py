"""What a case saves of the machine beside its times."""

from dataclasses import replace
from typing import Any

import pytest

import made_case
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.host.machine import Machine
from pytest_gpt_dist.inference.engines.protocol import Request
from pytest_gpt_dist.inference.fingerprint import fingerprint
from pytest_gpt_dist.inference.messages import RankReport
from pytest_gpt_dist.inference.mode import Checked
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.envelope import make_result
from pytest_gpt_dist.measure.result import Launch
from pytest_gpt_dist.telemetry.observation import INTERVAL_S, Observation
from readings import on_gpu

CASE = replace(made_case.CASE, requests=(Request(0, (1, 2), 5),))
MACHINE = Machine(
    device="cuda",
    gpus=(Gpu(0, "GPU-1", "H200", 2**37),),
    driver="570",
    backend="gloo",
    threads_per_rank=1,
    share_gpu=False,
    cores=Cores((0, 1)),
)
ROUND = Round(1.0, ((BatchTimes(((0,),), ((0.2, 0.4, 0.6, 0.8, 1.0),)),),))


def saved(*observations: Observation | None, keep_series: bool = False) -> dict[str, Any]:
    """Launches of two rounds with five tokens each, that were observed so."""
    launches = [Launch((RankReport(None, 0),), (ROUND, ROUND), [[1] * 5], seen) for seen in observations]
    mode = made_case.inference_mode(MACHINE)
    checked = Checked(None, compared=True)
    return make_result(mode, CASE, MACHINE, checked, launches, warmup=0, keep_series=keep_series).extra_info


def test_the_energy_of_the_rounds_is_divided_by_their_tokens() -> None:
    first = on_gpu({"energy_j": 10.0, "utilization": 0.5}, {"energy_j": 110.0, "utilization": 0.7})
    second = on_gpu({"energy_j": 200.0, "utilization": 0.9}, {"energy_j": 260.0, "utilization": 0.9})
    info = saved(first, second)
    assert info["energy_j_per_token"] == pytest.approx((100 + 60) / (2 * 2 * 5))
    assert info["gpu_utilization"] == pytest.approx(0.75)
    assert info["marks"] == []


def test_rounds_that_are_over_between_two_looks_have_no_energy_of_their_own() -> None:
    long = on_gpu({"energy_j": 10.0}, {"energy_j": 110.0})
    short = replace(long, end_s=2 * INTERVAL_S - 0.1)
    assert saved(long, long)["energy_j_per_token"] is not None
    info = saved(long, short)
    assert info["energy_j_per_token"] is info["gpu_utilization"] is None
    assert info["telemetry"]["gpus"][0]["energy_j"] == pytest.approx(190)


def test_what_disturbed_one_launch_marks_the_case() -> None:
    info = saved(on_gpu({"throttling": ("thermal",)}), on_gpu({}))
    assert info["marks"] == ["throttled: thermal"]
    assert info["energy_j_per_token"] is info["gpu_utilization"] is None


def test_readings_are_saved_only_if_they_are_to_be_kept() -> None:
    seen = on_gpu({"power_w": 1.0}, {"power_w": 2.0})
    assert saved(seen)["telemetry"]["series"] is None
    (series,) = saved(seen, keep_series=True)["telemetry"]["series"]
    assert [reading["gpus"][0]["power_w"] for reading in series["readings"]] == [1.0, 2.0]


def test_launches_that_nobody_watched_have_no_telemetry() -> None:
    info = saved(None)
    assert info["telemetry"] is info["energy_j_per_token"] is info["gpu_utilization"] is None


@pytest.mark.parametrize(
    "batching", [{}, {"batching": "by-length"}, {"batching": "token-budget", "token_budget": 64}]
)
def test_only_another_way_of_batching_is_in_the_fingerprint(batching: dict[str, Any]) -> None:
    case = replace(CASE, workload=replace(CASE.workload, **batching))
    found = {
        key: value for key, value in fingerprint(case, MACHINE).items() if key in ("batching", "token_budget")
    }
    assert found == ({"token_budget": None} | batching if batching else {})
