"""From readings to what is saved of a case: figures, and marks of what disturbed it."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.telemetry.alerts import Alert
from pytest_gpt_dist.telemetry.disturbances import disturbance_marks, disturbing
from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.reading import GpuReading, RankReading, Stranger
from pytest_gpt_dist.telemetry.summary import Extent, Telemetry, summarize
from readings import on_gpu, rank, reading

MIB = 2**20


def summed(*observations: Observation) -> Telemetry:
    telemetry = summarize(observations)
    assert telemetry is not None
    return telemetry


def on_host(*figures: dict[str, Any], cpu_s: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Observation:
    """Looks at a host with two cores and one rank, a second apart, all of them during the rounds."""
    readings = tuple(
        reading(float(at_s), [rank(taken_s)], **each)
        for (at_s, each), taken_s in zip(enumerate(figures), cpu_s, strict=True)
    )
    return Observation(readings, 0.0, len(figures) - 1.0)


def test_without_a_look_there_is_no_telemetry() -> None:
    assert summarize([]) is None


def test_a_ranks_processor_time_is_in_cores_and_the_rest_is_of_others() -> None:
    busy = ({"busy_s": 5.0}, {"busy_s": 6.5}, {"busy_s": 8.0})
    found = summed(on_host(*busy, cpu_s=(1.0, 2.0, 3.0)))
    assert found.ranks[0].cpu == Extent(1.0, 1.0)
    assert found.host.cpu == Extent(0.75, 0.75)
    assert found.host.cpu_others == Extent(0.25, 0.25)


def test_what_others_took_of_the_ranks_own_cores_is_apart_from_the_rest() -> None:
    busy = [{"busy_s": 2.0 * at, "owned_busy_s": 0.75 * at, "owned_cores": 1} for at in range(3)]
    found = summed(on_host(*busy, cpu_s=(0.0, 0.5, 1.0)))
    assert found.host.cpu_others == Extent(0.75, 0.75)
    assert found.host.owned_others == Extent(0.25, 0.25)
    assert summed(on_host({}, {}, {})).host.owned_others is None


def test_loading_before_the_rounds_does_not_count() -> None:
    cpu_s = (0.0, 4.0, 4.5, 5.0)
    readings = tuple(reading(float(at_s), [rank(taken)]) for at_s, taken in enumerate(cpu_s))
    assert summed(Observation(readings, 1.0, 3.0)).ranks[0].cpu == Extent(0.5, 0.5)


def test_a_rank_that_vanished_has_no_figure_and_the_other_has() -> None:
    readings = (
        reading(0.0, [rank(0.0), rank(0.0)], busy_s=0.0),
        reading(1.0, [rank(0.5), RankReading()], busy_s=1.0),
    )
    found = summed(Observation(readings, 0.0, 1.0))
    assert found.ranks[0].cpu == Extent(0.5, 0.5)
    assert found.ranks[1].cpu is None
    assert found.host.cpu_others is None


def test_rounds_too_short_for_a_look_take_the_next_one() -> None:
    readings = (
        reading(0.0, memory_share=0.1),
        reading(1.0, memory_share=0.3),
        reading(2.0, memory_share=0.9),
    )
    found = summed(Observation(readings, 0.4, 0.5))
    assert found.host.memory == Extent(0.3, 0.3)
    assert found.readings == 1


def test_the_energy_of_all_gpus_and_launches_adds_up() -> None:
    counted = on_gpu({"energy_j": 100.0}, {"energy_j": 160.0})
    by_power = on_gpu({"power_w": 50.0}, {"power_w": 50.0})
    assert summed(counted, by_power).energy_j == pytest.approx(110.0)
    assert summed(counted, on_gpu({}, {})).energy_j is None


def test_the_energy_on_the_cpu_is_that_of_the_packages() -> None:
    assert summed(on_host({"energy_j": 3.0}, {"energy_j": 7.0}, {"energy_j": 9.0})).energy_j == 6.0


def test_utilisation_is_the_mean_of_the_gpus() -> None:
    readings = tuple(
        reading(at_s, gpus=[GpuReading(0, utilization=first), GpuReading(1, utilization=0.5)])
        for at_s, first in ((0.0, 0.8), (1.0, 1.0))
    )
    assert summed(Observation(readings, 0.0, 1.0)).utilization == pytest.approx((0.9 + 0.5) / 2)
    assert summed(on_gpu({}, {})).utilization is None
    assert summed(on_host({}, {}, {})).utilization is None


def test_everything_saved_is_json_and_the_series_only_if_asked_for() -> None:
    seen = on_gpu(
        {"power_w": 1.0, "strangers": (Stranger(1, "x"),), "throttling": ("thermal",)}, {"power_w": 2.0}
    )
    seen = replace(seen, start_s=0.5, alerts=(Alert("temperature", "warning", "GPU 0", 81.0, 80.0),))
    short, long = summed(seen), summarize([seen], keep_series=True)
    assert long is not None
    assert json.loads(json.dumps(short.as_dict(), allow_nan=False))["series"] is None
    (series,) = json.loads(json.dumps(long.as_dict(), allow_nan=False))["series"]
    assert [each["at_s"] for each in series["readings"]] == [-0.5, 0.5]
    assert series["readings"][0]["gpus"][0]["power_w"] == 1.0
    assert series["span_s"] == 0.5
    assert list(short.as_dict()["alerts"]) == [asdict(seen.alerts[0])]


def test_a_steady_machine_has_no_marks() -> None:
    still = {"swapped_in_bytes": 5 * MIB, "swapped_out_bytes": 9 * MIB}
    assert (
        disturbance_marks([on_host(still, still, still), on_gpu({"throttling": ()}, {"strangers": ()})]) == []
    )


def test_heat_that_slows_a_gpu_is_marked_once_and_its_power_limit_never() -> None:
    hot = on_gpu({"throttling": ("power cap",)}, {"throttling": ("thermal",)}, {"throttling": ("thermal",)})
    assert disturbance_marks([hot, hot]) == ["throttled: thermal"]
    found = summed(hot).gpus[0].throttling
    assert found == {"power cap": 1 / 3, "thermal": 2 / 3}


def test_heat_before_the_rounds_is_no_mark() -> None:
    warm = on_gpu({"throttling": ("thermal",)}, {"throttling": ()}, {"throttling": ()})
    assert disturbance_marks([replace(warm, start_s=0.5)]) == []


def test_a_stranger_on_the_gpu_is_marked_by_name() -> None:
    seen = on_gpu({"strangers": (Stranger(123, "python"), Stranger(124, None))}, {})
    assert disturbance_marks([seen]) == ["shared device: pid 123 (python)", "shared device: pid 124"]


@pytest.mark.parametrize(("taken", "marks"), [(0.09, []), (0.25, ["shared device: others took 25%"])])
def test_cores_that_others_took_are_marked_with_the_worst_launch(taken: float, marks: list[str]) -> None:
    def launch(share: float) -> Observation:
        busy = [{"owned_busy_s": (1 + share) * at, "owned_cores": 1} for at in range(3)]
        return on_host(*busy, cpu_s=(0.0, 1.0, 2.0))

    assert disturbance_marks([launch(taken), launch(0.0)]) == marks
    assert disturbance_marks([replace(launch(taken), end_s=0.9)]) == []  # mostly what surrounded the rounds


@pytest.mark.parametrize(("held_s", "marks"), [(0.0, []), (0.01, []), (0.5, ["throttled: processor limit"])])
def test_a_limit_that_held_threads_back_is_marked(held_s: float, marks: list[str]) -> None:
    seen = on_host({"throttled_s": 5.0}, {"throttled_s": 5.0 + held_s}, {"throttled_s": 5.0 + held_s})
    assert disturbance_marks([seen]) == marks
    assert summed(seen).host.throttled_s == pytest.approx(held_s)


def test_what_happened_around_brief_rounds_marks_none_of_them() -> None:
    began = {"throttled_s": 0.0, "swapped_in_bytes": 0}
    after = {"throttled_s": 9.0, "swapped_in_bytes": 100 * MIB}
    loading = on_host(began, after, after)
    assert disturbance_marks([replace(loading, start_s=0.7, end_s=1.6)]) == []
    assert disturbance_marks([replace(loading, start_s=0.7)]) == ["throttled: processor limit", "swapped"]


@settings(deadline=None)
@example(moved=MIB, out=False)
@given(moved=st.integers(0, 4 * MIB), out=st.booleans())
def test_a_machine_that_swaps_a_mebibyte_is_marked(moved: int, out: bool) -> None:
    still = {"swapped_in_bytes": 0, "swapped_out_bytes": 0}
    after = still | ({"swapped_out_bytes": moved} if out else {"swapped_in_bytes": moved})
    assert disturbance_marks([on_host(still, after, after)]) == (["swapped"] if moved >= MIB else [])


def test_only_what_disturbs_is_in_doubt() -> None:
    marks = ["drifting: slowing down", "swapped", "tokens vary", "throttled: thermal", "shared device: pid 1"]
    assert disturbing(marks) == ("swapped", "throttled: thermal", "shared device: pid 1")
