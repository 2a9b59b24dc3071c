"""What a report says of the machine beside the figures: from the telemetry that a case saved."""

from typing import Any

import pytest

from pytest_gpt_dist.report.figures import CaseFigures, case_figures
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.sections import Table, compose
from saved_cases import MADE_AT, saved_case

HOST: dict[str, Any] = {
    "owned_others": {"mean": 0.015, "max": 0.2},
    "memory": {"mean": 0.3, "max": 0.42},
    "energy_j": None,
}
ON_CPU: dict[str, Any] = {
    "span_s": 4.0,
    "ranks": [{"cpu": {"mean": 0.9, "max": 1.0}}, {"cpu": {"mean": 0.5, "max": 1.0}}],
    "host": HOST,
    "gpus": [],
}
GPU: dict[str, Any] = {
    "utilization": {"mean": 0.8, "max": 1.0},
    "power_w": {"mean": 300.0, "max": 400.0},
    "energy_j": 1200.0,
    "sm_clock_hz": {"mean": 1.7e9, "max": 1.98e9},
    "temperature_c": {"mean": 60.0, "max": 71.0},
    "throttling": {"power cap": 0.5},
    "nvlink_sent_bytes_per_s": {"mean": 2e9, "max": 3e9},
    "nvlink_received_bytes_per_s": {"mean": 1e9, "max": 3e9},
    "pcie_sent_bytes_per_s": None,
    "pcie_received_bytes_per_s": None,
}
COOLER = GPU | {"temperature_c": {"mean": 50.0, "max": 55.0}, "throttling": {}}
ON_GPUS = ON_CPU | {"host": HOST | {"owned_others": None}, "gpus": [GPU, COOLER]}


def whys(case: CaseFigures, *figures: str) -> set[str]:
    return {missing.why for missing in case.missing if missing.figure in figures}


def meanwhile(*telemetry: object, **changes: Any) -> Table | None:
    """The table of what the machine did while these cases ran."""
    cases = [saved_case(gpus, telemetry=told, **changes) for gpus, told in enumerate(telemetry, 1)]
    tables = compose(find(cases), MADE_AT).sections[0].tables
    return next((table for table in tables if table.title == "What the machine did meanwhile"), None)


def shown(table: Table | None) -> list[dict[str, str]]:
    assert table is not None
    headers = [column.header for column in table.columns]
    return [dict(zip(headers, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_on_the_cpu_it_is_the_mean_of_the_ranks_the_others_and_the_memory() -> None:
    (row,) = shown(meanwhile(ON_CPU))
    assert (row["cores a rank"], row["others"], row["host memory"]) == ("0.70", "1.5%", "42%")


def test_on_gpus_power_and_traffic_add_up_and_the_hottest_counts() -> None:
    (row,) = shown(meanwhile(ON_GPUS, device="cuda", gpu_utilization=0.95, energy_j_per_token=0.1234))
    assert row["GPUs W"] == "600"
    assert row["NVLink GB/s"] == "4.00 / 2.00"
    assert row["hottest °C"] == "71"
    assert row["SM clock MHz"] == "1,700"
    assert row["throttled"] == "power cap 25%"
    assert (row["GPU util."], row["J/token"]) == ("95%", "0.123")


def test_power_of_the_processors_is_their_energy_over_the_rounds() -> None:
    case = case_figures(saved_case(telemetry=ON_CPU | {"host": HOST | {"energy_j": 200.0}}))
    assert case.machine.host_power_w == pytest.approx(50)


def test_a_column_that_no_case_has_is_left_out_and_the_reason_said() -> None:
    table = meanwhile(ON_CPU)
    assert table is not None
    assert [column.header for column in table.columns] == ["case", "cores a rank", "others", "host memory"]
    assert "J/token (the system shows no energy counter of the processors)" in table.about
    assert "NVLink GB/s, PCIe GB/s (no GPU)" in table.about
    assert "NVLink: sent" not in table.about


def test_a_figure_that_one_case_has_not_is_a_dash_and_a_line_says_why() -> None:
    older = ON_CPU | {"host": {key: value for key, value in HOST.items() if key != "owned_others"}}
    with_it, without = shown(meanwhile(ON_CPU, older))
    assert (with_it["others"], without["others"]) == ("1.5%", "-")
    (group,) = find([saved_case(telemetry=ON_CPU), saved_case(2, telemetry=older)]).groups
    assert "no share of what others took of 2gpu: not saved by an earlier version" in group.gaps


@pytest.mark.parametrize("telemetry", [None, {}, 5, "text"])
def test_without_telemetry_there_is_no_table_and_a_line_says_so(telemetry: object) -> None:
    assert meanwhile(telemetry) is None
    (group,) = find([saved_case(telemetry=telemetry)]).groups
    why = "what the machine did was not saved, or cannot be read"
    assert f"no processor time of the ranks of any case: {why}" in group.gaps


@pytest.mark.parametrize(
    ("changes", "figure", "why"),
    [
        ({"telemetry": ON_CPU}, "gpu_power_w", "no GPU"),
        ({"telemetry": ON_GPUS, "device": "cuda"}, "host_others", "ranks own GPUs and no cores"),
        ({"telemetry": ON_GPUS, "device": "cuda"}, "pcie_bytes_per_s", "NVML did not tell"),
        (
            {"telemetry": ON_GPUS, "device": "cuda"},
            "gpu_utilization",
            "the rounds of a launch last less than a second",
        ),
        (
            {"telemetry": ON_GPUS, "device": "cuda"},
            "energy_j_per_token",
            "the rounds of a launch last less than a second",
        ),
        ({"telemetry": ON_CPU, "device": "cuda"}, "gpu_utilization", "NVML did not tell"),
        (
            {"telemetry": ON_CPU},
            "energy_j_per_token",
            "the system shows no energy counter of the processors",
        ),
        ({"mfu": None}, "mfu", "the limit was not measured"),
    ],
)
def test_what_was_not_told_has_its_reason(changes: dict[str, Any], figure: str, why: str) -> None:
    assert whys(case_figures(saved_case(**changes)), figure) == {why}


def test_one_gpu_that_does_not_tell_leaves_no_sum() -> None:
    telemetry = ON_GPUS | {"gpus": [GPU, COOLER | {"power_w": None}]}
    case = case_figures(saved_case(telemetry=telemetry, device="cuda"))
    assert case.machine.gpu_power_w is None
    assert whys(case, "gpu_power_w") == {"NVML did not tell"}
