"""Thresholds as they are written, and the alerts of readings beyond them."""

from dataclasses import asdict
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.config.thresholds import (
    DEFAULT_THRESHOLDS,
    Quantity,
    Severity,
    Threshold,
    parse_thresholds,
)
from pytest_gpt_dist.report.alerts import alert_lines
from pytest_gpt_dist.telemetry.alerts import Alert, raised, worst
from pytest_gpt_dist.telemetry.reading import GpuReading, RankReading
from readings import rank, reading

THRESHOLDS = st.builds(
    Threshold,
    st.sampled_from(get_args(Quantity)),
    st.integers(0, 9999).map(lambda tenths: tenths / 10),
    st.sampled_from(get_args(Severity)),
)
HOT = GpuReading(5, temperature_c=85.0, memory_bytes=95, memory_total_bytes=100)


@settings(deadline=None)
@given(given_ones=st.lists(THRESHOLDS, min_size=1, max_size=5))
def test_thresholds_are_read_as_written_and_the_others_stay(given_ones: list[Threshold]) -> None:
    text = ", ".join(f"{each.quantity}={each.limit}:{each.severity}" for each in given_ones)
    parsed = parse_thresholds(text)
    assert parsed[: len(given_ones)] == tuple(given_ones)
    named = {each.quantity for each in given_ones}
    assert parsed[len(given_ones) :] == tuple(
        each for each in DEFAULT_THRESHOLDS if each.quantity not in named
    )


@pytest.mark.parametrize("text", ["", "cpu", "cpu=", "cpu=-1", "cpu=1e3", "cpu=50:bad", "heat=50", "cpu=50;"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected limits such as"):
        parse_thresholds(text)


def test_a_gpu_that_is_hot_and_full_is_alarming_by_the_number_that_tools_give_it() -> None:
    found = raised(None, reading(0.0, gpus=[GpuReading(3), HOT]), DEFAULT_THRESHOLDS)
    assert list(map(str, found)) == [
        "warning: GPU 5: temperature 85 °C, above 80 °C",
        "warning: GPU 5: memory in use 95%, above 90%",
    ]


def test_a_limit_that_is_reached_is_not_beyond() -> None:
    assert raised(None, reading(0.0, memory_share=0.85), DEFAULT_THRESHOLDS) == []
    assert len(raised(None, reading(0.0, memory_share=0.86), DEFAULT_THRESHOLDS)) == 1


@pytest.mark.parametrize(
    ("celsius", "said"), [(85.0, "85 °C"), (80.4, "80.4 °C"), (80.04, "80.04 °C"), (80.001, "80.001 °C")]
)
def test_a_value_is_said_so_that_it_is_above_the_limit(celsius: float, said: str) -> None:
    (alert,) = raised(None, reading(0.0, gpus=[GpuReading(3, temperature_c=celsius)]), DEFAULT_THRESHOLDS)
    assert str(alert) == f"warning: GPU 3: temperature {said}, above 80 °C"
    assert alert.short == f"GPU 3 temperature {said}"


def test_of_two_limits_the_more_severe_counts() -> None:
    both = parse_thresholds("temperature=84:critical,temperature=60")
    (alert, _) = raised(None, reading(0.0, gpus=[HOT]), both)
    assert (alert.severity, alert.limit) == ("critical", 84.0)
    assert alert.short == "CRITICAL GPU 5 temperature 85 °C"


def test_on_the_cpu_only_what_the_ranks_do_not_use_is_alarming() -> None:
    before = reading(0.0, ranks=[rank(0.0), rank(0.0)], busy_s=10.0)
    alone = reading(1.0, ranks=[rank(1.0), rank(0.9)], busy_s=12.0)
    beside_others = reading(1.0, ranks=[rank(0.0), rank(0.1)], busy_s=12.0)
    assert raised(before, alone, DEFAULT_THRESHOLDS) == []
    (alert,) = raised(before, beside_others, DEFAULT_THRESHOLDS)
    assert str(alert) == "warning: host, without the ranks: processors in use 95%, above 90%"


def test_a_rank_that_does_not_tell_leaves_open_what_others_use() -> None:
    before = reading(0.0, ranks=[rank(0.0), rank(0.0)], busy_s=10.0)
    after = reading(1.0, ranks=[rank(0.1), RankReading()], busy_s=12.0)
    assert raised(before, after, DEFAULT_THRESHOLDS) == []


def test_beside_gpus_the_ranks_count_too() -> None:
    before = reading(0.0, ranks=[rank(0.0)], gpus=[GpuReading(0)], busy_s=10.0)
    after = reading(1.0, ranks=[rank(1.0)], gpus=[GpuReading(0)], busy_s=12.0)
    (alert,) = raised(before, after, DEFAULT_THRESHOLDS)
    assert (alert.where, alert.value) == ("host", 100.0)


def test_two_looks_at_once_tell_nothing_of_the_processors() -> None:
    looks = reading(0.0, busy_s=10.0), reading(0.01, busy_s=10.1)
    assert raised(*looks, DEFAULT_THRESHOLDS) == []


def test_the_worst_of_each_place_is_kept() -> None:
    alerts = [
        Alert("temperature", "warning", "GPU 0", 81.0, 80.0),
        Alert("temperature", "critical", "GPU 0", 95.0, 80.0),
        Alert("temperature", "warning", "GPU 0", 99.0, 80.0),
        Alert("temperature", "warning", "GPU 1", 82.0, 80.0),
    ]
    assert worst(alerts) == [alerts[1], alerts[3]]


def test_the_session_tells_each_alert_once_with_its_cases() -> None:
    alerts = [asdict(Alert("temperature", "warning", "GPU 0", value, 80.0)) for value in (82.0, 90.0)]
    saved: list[dict[str, Any]] = [{"telemetry": {"alerts": [alert]}} for alert in alerts]
    saved.append({"telemetry": None})
    assert alert_lines(saved) == ["warning: GPU 0: temperature 90 °C, above 80 °C (2 cases)"]
    assert alert_lines([{}]) == []


def test_both_sides_of_an_ab_are_told_and_are_one_case() -> None:
    ours, theirs, elsewhere = (
        asdict(Alert("temperature", "warning", where, value, 80.0))
        for where, value in (("GPU 0", 82.0), ("GPU 0", 90.0), ("GPU 1", 81.0))
    )
    info = {"telemetry": {"alerts": [ours]}, "against": {"alerts": [theirs, elsewhere]}}
    assert alert_lines([info]) == [
        "warning: GPU 0: temperature 90 °C, above 80 °C (1 case)",
        "warning: GPU 1: temperature 81 °C, above 80 °C (1 case)",
    ]
    assert alert_lines([{"telemetry": None, "against": {"alerts": []}}, {"against": {}}]) == []
