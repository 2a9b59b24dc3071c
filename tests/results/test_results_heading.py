"""The name of a series tells workloads and machines apart, and outlives what it is to show."""

from typing import Any

import pytest

from pytest_gpt_dist.results.heading import LONGEST_SERIES, series
from pytest_gpt_dist.results.properties import properties
from saved_cases import ALONE, FINGERPRINT, INFO

TEST = "benchmarks/test_inference.py::test_generate[1gpu-pure_data_parallel]"


def test_a_series_says_test_engine_layout_workload_and_machine() -> None:
    assert series(TEST, INFO) == (
        f"{TEST} · native · dp1pp1tp1 · gpt2-mini · float32 · weak · batch 4 · 64 + 64 tokens · Test CPU, cores: 8"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "gpt2-xl"},
        {"dtype": "bfloat16"},
        {"weights": "pretrained"},
        {"engine": "transformers"},
        {"layout": {"dp": 1, "pp": 1, "tp": 2}},
        {"batch_size": 8},
        {"batching": "by-length"},
        {"new_tokens": 8},
        {"device_name": "NVIDIA H200", "device": "cuda"},
        {"fingerprint": FINGERPRINT | {"cores": 2}},
    ],
)
def test_another_workload_or_machine_is_another_series(changed: dict[str, Any]) -> None:
    assert series(TEST, INFO | changed) != series(TEST, INFO)


def test_versions_and_figures_are_no_part_of_it() -> None:
    newer = {"fingerprint": FINGERPRINT | {"torch": "3.0"}, "tokens_per_s": 1.0, "marks": ["throttled"]}
    assert series(TEST, INFO | newer) == series(TEST, INFO)


def test_a_series_is_no_longer_than_trackers_take() -> None:
    assert len(series("t" * 10**5, INFO)) == LONGEST_SERIES


def test_properties_are_plain_values_and_leave_out_what_was_not_measured() -> None:
    shown = dict(properties(INFO | {"series": "s"}))
    assert shown == {
        "series": "s",
        "engine": "native",
        "strategy": "pure_data_parallel",
        "gpus": 1,
        "model": "gpt2-mini",
        "dtype": "float32",
        "device_name": "Test CPU",
        "layout": "dp1pp1tp1",
        "tokens_per_s": 100.0,
        "latency_s": 0.4,
        "ttft_s": 0.03,
        "tpot_s": 0.006,
        "itl_s": 0.006,
        "speedup": 1.0,
        "efficiency": 1.0,
        "max_logit_error": 1e-7,
    }
    alone = dict(properties(INFO | ALONE | {"series": "s", "itl_s": None}))
    assert alone.keys() == shown.keys() - {"speedup", "efficiency", "itl_s"} | {"marks"}
    assert alone["marks"] == "no speed-up: fits on no device"
