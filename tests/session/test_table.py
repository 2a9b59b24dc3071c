"""The table after a run."""

from typing import Any

import pytest

from pytest_gpt_dist.report.table import Row, render

LATENCY = {"mean": 0.0123, "p50": 0.01, "p95": 0.02, "p99": 0.03}
INFO: dict[str, Any] = {
    "engine": "native",
    "strategy": "full_model_parallel",
    "gpus": 8,
    "layout": {"dp": 1, "pp": 2, "tp": 4},
    "tokens_per_s": 12345.67,
    "speedup": 3.456,
    "efficiency": 0.432,
    "latency_s": LATENCY,
    "ttft_s": LATENCY | {"mean": 0.0045},
    "gpu_utilization": 0.87,
    "mbu": 0.617,
    "peak_memory_bytes": [5 * 2**20, 7 * 2**20],
    "matches_reference": True,
    "max_logit_error": 3.2e-7,
    "degenerate": None,
    "oversubscribed": False,
    "shared_gpu": False,
    "marks": [],
    "device_name": "H200",
    "model": "gpt2-xl",
    "dtype": "bfloat16",
    "scaling": "weak",
    "weights": "random",
    "batch_size": 4,
    "requests": 32,
    "prompt_tokens": [64],
    "new_tokens": [8],
    "sampling": {"greedy": True, "repetition_penalty": 1.0},
    "seed": 0,
    "resumed": False,
}


def cells(**changes: Any) -> dict[str, str]:
    """The one row of a table, by header, cut at the columns that the ruler under the headers shows."""
    headers, ruler, line = render([Row("test_generate[8gpu]", INFO | changes)]).splitlines()[1:4]
    ends = [place for place, mark in enumerate(ruler) if mark == " " and ruler[place - 1] == "-"]
    starts = [0, *(end + 2 for end in ends)]
    spans = list(zip(starts, [*ends, None], strict=True))
    return {headers[start:end].strip(): line[start:end].strip() for start, end in spans}


def below(**changes: Any) -> list[str]:
    """The lines below the one row of a table."""
    return render([Row("test_generate[8gpu]", INFO | changes)]).splitlines()[4:]


def test_a_row_has_every_figure_in_its_unit() -> None:
    assert cells() == {
        "case": "test_generate[8gpu]",
        "layout": "dp1·pp2·tp4",
        "tokens/s": "12,345.7",
        "speed-up": "3.46×",
        "efficiency": "43%",
        "of limit": "62%",
        "latency ms": "12.3",
        "TTFT ms": "4.5",
        "GPU util.": "87%",
        "memory MiB": "7",
        "exact": "yes (3e-07)",
    }


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("speedup", "speed-up"),
        ("efficiency", "efficiency"),
        ("latency_s", "latency ms"),
        ("ttft_s", "TTFT ms"),
        ("mbu", "of limit"),
    ],
)
def test_what_could_not_be_measured_is_a_dash(key: str, column: str) -> None:
    assert cells(**{key: None})[column] == "-"


def test_a_figure_of_zero_is_no_dash() -> None:
    assert cells(gpu_utilization=0.0)["GPU util."] == "0%"


def test_a_machine_without_gpus_has_no_column_for_their_utilization() -> None:
    assert "GPU util." not in cells(gpu_utilization=None)


def test_memory_is_that_of_the_largest_rank_that_could_tell() -> None:
    assert cells(peak_memory_bytes=[None, 3 * 2**20])["memory MiB"] == "3"
    assert cells(peak_memory_bytes=[None, None])["memory MiB"] == "-"


def test_an_untimed_case_says_so() -> None:
    changes = {"tokens_per_s": None, "speedup": None}
    assert (cells(**changes)["tokens/s"], below(**changes)) == ("-", ["  untimed"])


def test_a_model_that_no_single_device_holds_has_no_reference() -> None:
    assert cells(matches_reference=None, max_logit_error=None)["exact"] == "no reference"


def test_every_mark_is_below_the_row() -> None:
    noted = below(
        degenerate="tensor_data_hybrid",
        oversubscribed=True,
        shared_gpu=True,
        marks=["tokens vary", "swapped"],
    )
    assert noted == ["  = tensor_data_hybrid, oversubscribed, shared GPU, tokens vary, swapped"]


def test_what_another_batching_saves_is_below_the_row() -> None:
    noted = below(batching="by-length", padding_fraction=0.048, padding_fraction_in_order=0.213)
    assert noted == ["  by-length: 5% padding, in order 21%"]
    assert below(batching="in-order", padding_fraction=0.2, padding_fraction_in_order=0.2) == []


def test_the_table_has_a_row_for_each_case_in_their_order() -> None:
    text = render([Row(name, INFO) for name in ("b", "a", "c")])
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["b", "a", "c"]


def test_what_does_not_compare_stands_in_tables_of_its_own() -> None:
    rows = [Row("a", INFO), Row("b", INFO | {"scaling": "strong"}), Row("c", INFO)]
    first, second = render(rows).split("\n\n")
    assert first.splitlines()[0] == "H200 · gpt2-xl · bfloat16 · weak"
    assert [line.split()[0] for line in first.splitlines()[3:]] == ["a", "c"]
    assert second.splitlines()[0] == "H200 · gpt2-xl · bfloat16 · strong"


def test_each_workload_of_a_sweep_has_a_table_of_its_own() -> None:
    rows = [
        Row(f"test_generate[{gpus}gpu{label}]", INFO | {"batch_size": batch_size, "gpus": gpus})
        for label, batch_size in (("-b1", 1), ("", 4))
        for gpus in (1, 2)
    ]
    first, second = render(rows).split("\n\n")
    assert (
        first.splitlines()[0]
        == "gpt2-xl · bfloat16 · weak · batch 1 · 64 + 8 tokens · H200 · test_generate[…-b1]"
    )
    assert [line.split()[0] for line in first.splitlines()[3:]] == ["1gpu", "2gpu"]
    assert second.splitlines()[0].startswith("gpt2-xl · bfloat16 · weak · batch 4")


def test_workloads_of_one_case_each_stay_in_one_table() -> None:
    rows = [Row(name, INFO | {"batch_size": batch_size}) for name, batch_size in (("a", 1), ("b", 4))]
    (table,) = render(rows).split("\n\n")
    assert [line.split()[0] for line in table.splitlines()[3:]] == ["a", "b"]


def test_the_matrix_fits_100_columns_with_throughput_and_latencies() -> None:
    strategies = ("pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid")
    rows = [Row(f"test_generate[{gpus}gpu-{name}]", INFO) for gpus in (2, 4) for name in strategies]
    lines = render(rows, 100).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "H200 · gpt2-xl · bfloat16 · weak · test_generate[…]"
    assert " ".join(lines[1].split()) == "case tokens/s speed-up efficiency latency ms TTFT ms exact"
    assert lines[3].split()[:3] == ["2gpu-pure_data_parallel", "12,345.7", "3.46×"]
    left_out = "layout, of limit, GPU util., memory MiB (the saved JSON and --gpt-report have them)"
    assert " ".join(lines[9:]) == f"Left out at 100 columns: {left_out}"


@pytest.mark.parametrize(
    ("names", "headers"),
    [
        (("test_a", "test_b"), ["case", "engine", "tokens/s"]),
        (("test_case[native]", "test_case[transformers]"), ["case", "tokens/s", "speed-up"]),
    ],
)
def test_an_engine_that_no_name_tells_has_a_column(names: tuple[str, str], headers: list[str]) -> None:
    engines = ("native", "transformers")
    rows = [Row(name, INFO | {"engine": engine}) for name, engine in zip(names, engines, strict=True)]
    (line,) = (line for line in render(rows, 70).splitlines() if line.startswith("case "))
    assert line.split()[:3] == headers


def test_a_strategy_that_no_name_tells_has_a_column_and_stays_longest() -> None:
    rows = [Row("test_a", INFO), Row("test_b", INFO | {"strategy": "pipeline_data_hybrid"})]
    assert render(rows, 60).splitlines()[1].split()[:3] == ["case", "strategy", "tokens/s"]


def test_shares_above_100_percent_say_why() -> None:
    above = {"efficiency": 1.2, "mbu": 1.1}
    efficiency, limit = below(**above)
    assert efficiency.startswith("Efficiency is beyond 100%, because a device does its share faster")
    assert limit.startswith("Of limit is beyond 100%, because the batch fits into caches")
    assert efficiency.endswith(": test_generate[8gpu].")
    assert below(**above, gpus=1) == [limit]  # of one device, efficiency is 100% but for rounding
