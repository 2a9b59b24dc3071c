"""A timed session: what is saved, and what is printed."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plugin.sessions import TABLE_OF_BENCHMARKS, TINY, Session, run_python, run_session

KEYS = [
    "schema",
    "mode",
    "unit",
    "fingerprint",
    "series",
    "engine",
    "engine_configuration",
    "strategy",
    "gpus",
    "layout",
    "degenerate",
    "oversubscribed",
    "shared_gpu",
    "device",
    "device_name",
    "backend",
    "machines",
    "threads_per_rank",
    "attention",
    "model",
    "parameters",
    "weights",
    "tokenizer",
    "dtype",
    "scaling",
    "batch_size",
    "batching",
    "padding_fraction",
    "padding_fraction_in_order",
    "requests",
    "prompt_tokens",
    "new_tokens",
    "sampling",
    "seed",
    "warmup",
    "tokens_per_s",
    "tokens_per_s_per_gpu",
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "latency_s",
    "ttft_s",
    "tpot_s",
    "itl_s",
    "speedup",
    "efficiency",
    "reference",
    "time_lost",
    "mbu",
    "mfu",
    "limits",
    "yardstick",
    "gpu_utilization",
    "peak_memory_bytes",
    "parameter_bytes",
    "collectives_per_step",
    "energy_j_per_token",
    "max_logit_error",
    "matches_reference",
    "tokens_sha256",
    "telemetry",
    "marks",
    "repeated",
    "resumed",
    "launches",
]
WORKLOAD = "tiny.b2.p6.n8"
MATRIX = [
    f"test_generate[{case}-{WORKLOAD}]"
    for case in (
        "1gpu-pure_data_parallel",
        "2gpu-pure_data_parallel",
        "2gpu-tensor_data_hybrid",
        "2gpu-pipeline_data_hybrid",
        "2gpu-full_model_parallel",
    )
]
ONE, DATA, TENSOR, PIPELINE, FULL = MATRIX
OWN = ["test_recorded", "test_half_precision", "test_one_new_token", "test_fixed"]
NAMES = [*MATRIX, *OWN]


def test_the_session_passes_without_a_warning(timed: Session) -> None:
    assert timed.status == pytest.ExitCode.OK, timed.output
    assert {name: test.said for name, test in timed.tests.items() if test.outcome != "passed"} == {}


def test_the_controller_never_imports_torch(timed: Session) -> None:
    assert timed.tests["test_the_controller_is_free_of_torch"].outcome == "passed"


def test_pytest_benchmark_shows_its_table(timed: Session) -> None:
    assert TABLE_OF_BENCHMARKS.search(timed.output) is not None


def test_every_case_is_saved_and_nothing_else(timed: Session) -> None:
    assert set(timed.benchmarks) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_the_contract_is_saved(timed: Session, name: str) -> None:
    assert sorted(timed.info(name)) == sorted(KEYS)


@pytest.mark.parametrize("name", NAMES)
def test_ops_are_tokens_per_second(timed: Session, name: str) -> None:
    saved = timed.benchmarks[name]
    assert saved["stats"]["ops"] == pytest.approx(saved["extra_info"]["tokens_per_s"], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_raw_samples_are_saved_to_the_last_bit(timed: Session, name: str) -> None:
    saved = timed.benchmarks[name]
    (launch,) = saved["extra_info"]["launches"]
    assert saved["stats"]["data"] == launch


def test_a_fixed_count_of_rounds_is_kept_to(timed: Session) -> None:
    assert len(timed.info(ONE)["launches"][0]) == 2
    assert len(timed.info("test_fixed")["launches"][0]) == 4


def test_the_timer_has_a_fixed_name(timed: Session) -> None:
    assert {saved["options"]["timer"] for saved in timed.benchmarks.values()} == {"gpt_dist_virtual_clock"}


def test_a_users_own_group_is_kept(timed: Session) -> None:
    assert timed.benchmarks["test_recorded"]["group"] == "mine"
    assert timed.benchmarks["test_fixed"]["group"] is None


def test_only_the_first_run_of_a_test_is_recorded(timed: Session) -> None:
    info = timed.info("test_recorded")
    assert (info["strategy"], info["gpus"], info["new_tokens"]) == ("pipeline_data_hybrid", 2, 5)


def test_what_ran_is_saved(timed: Session) -> None:
    info = timed.info(TENSOR)
    assert info["layout"] == {"dp": 1, "pp": 1, "tp": 2}
    assert (info["engine"], info["strategy"], info["gpus"]) == ("native", "tensor_data_hybrid", 2)
    assert (info["device"], info["backend"], info["threads_per_rank"]) == ("cpu", "gloo", 1)
    assert (info["model"], info["weights"], info["tokenizer"], info["dtype"]) == (
        "tiny",
        "random",
        "bytes",
        "float32",
    )
    assert (info["scaling"], info["batch_size"], info["requests"]) == ("weak", 2, 4)
    assert (info["prompt_tokens"], info["new_tokens"], info["warmup"]) == (6, 8, 1)
    assert info["sampling"] == {
        "greedy": True,
        "temperature": None,
        "top_p": None,
        "repetition_penalty": 1.0,
    }
    assert info["unit"] == "seconds per generated token"


def test_every_strategy_generates_the_same_tokens(timed: Session) -> None:
    assert len({timed.info(name)["tokens_sha256"] for name in (DATA, TENSOR, PIPELINE, FULL)}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_case_was_checked(timed: Session, name: str) -> None:
    info = timed.info(name)
    assert info["matches_reference"] is True
    assert 0 <= info["max_logit_error"] <= (1e-4 if info["dtype"] == "float32" else 0.1)


def test_the_model_was_really_split(timed: Session) -> None:
    (whole,) = timed.info(ONE)["parameter_bytes"]
    assert whole == 4 * timed.info(ONE)["parameters"]
    assert timed.info(DATA)["parameter_bytes"] == [whole, whole]
    assert max(timed.info(TENSOR)["parameter_bytes"]) < 0.7 * whole
    assert max(timed.info(PIPELINE)["parameter_bytes"]) < 0.9 * whole


def test_collectives_of_a_step_are_those_of_the_layout(timed: Session) -> None:
    nothing = [0, 0]
    assert timed.info(DATA)["collectives_per_step"] == dict.fromkeys(
        ("all_reduce", "all_gather", "send", "recv"), nothing
    )
    layers = 3
    assert timed.info(TENSOR)["collectives_per_step"] == {
        "all_reduce": [2 * layers + 1] * 2,
        "all_gather": [1, 1],
        "send": nothing,
        "recv": nothing,
    }
    microbatches = 2
    assert timed.info(PIPELINE)["collectives_per_step"] == {
        "all_reduce": nothing,
        "all_gather": nothing,
        "send": [microbatches] * 2,
        "recv": [microbatches] * 2,
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_that_could_not_be_measured_is_null(timed: Session, name: str) -> None:
    info = timed.info(name)
    assert info["gpu_utilization"] is None
    if info["telemetry"]["host"]["energy_j"] is None:  # most kernels show it to root alone
        assert info["energy_j_per_token"] is None
    assert info["time_lost"]["host"] is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_lost_and_what_is_gained_make_up_the_whole(timed: Session, name: str) -> None:
    info, lost = timed.info(name), timed.info(name)["time_lost"]
    measured = [lost[kind] for kind in ("communication", "bubble", "imbalance")]
    assert all(0 <= share < 1 for share in measured)
    assert (info["efficiency"] is None) == info["oversubscribed"]
    if info["efficiency"] is None:
        assert lost["other"] is None
    else:
        assert info["efficiency"] + sum(measured) + lost["other"] == pytest.approx(1)


def test_each_way_to_divide_a_model_loses_in_its_own_way(timed: Session) -> None:
    tensor, pipeline = timed.info(TENSOR)["time_lost"], timed.info(PIPELINE)["time_lost"]
    assert tensor["communication"] > 0
    assert tensor["bubble"] == 0
    assert pipeline["communication"] == 0
    assert pipeline["bubble"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_latency_has_percentiles_in_order(timed: Session, name: str) -> None:
    for key in ("latency_s", "ttft_s", "tpot_s", "itl_s"):
        summary = timed.info(name)[key]
        assert (summary is None) == (name == "test_one_new_token" and key in ("tpot_s", "itl_s"))
        if summary is not None:
            assert sorted(summary) == ["mean", "p50", "p95", "p99"]
            assert 0 < summary["p50"] <= summary["p95"] <= summary["p99"]


@pytest.mark.parametrize("name", MATRIX)
def test_the_first_token_and_the_gaps_add_up_to_the_latency(timed: Session, name: str) -> None:
    info = timed.info(name)
    gaps = info["new_tokens"] - 1
    latency_s, ttft_s = info["latency_s"]["mean"], info["ttft_s"]["mean"]
    assert ttft_s + gaps * info["itl_s"]["mean"] == pytest.approx(latency_s)
    assert ttft_s + gaps * info["tpot_s"]["mean"] == pytest.approx(latency_s)


@pytest.mark.parametrize("name", MATRIX)
def test_requests_end_within_their_round(timed: Session, name: str) -> None:
    info = timed.info(name)
    tokens = info["requests"] * info["new_tokens"]
    assert info["latency_s"]["mean"] <= max(info["launches"][0]) * tokens


def test_one_new_token_leaves_no_gaps(timed: Session) -> None:
    info = timed.info("test_one_new_token")
    assert info["tpot_s"] is info["itl_s"] is info["decode_tokens_per_s"] is None


def test_the_reference_of_a_speed_up_is_the_one_device_case_of_the_session(timed: Session) -> None:
    alone = timed.info(ONE)["tokens_per_s"]
    assert timed.info(ONE)["speedup"] == timed.info(ONE)["efficiency"] == 1
    for name in (DATA, TENSOR, PIPELINE, FULL):
        info = timed.info(name)
        assert info["reference"] == {
            "engine": "native",
            "gpus": 1,
            "tokens_per_s": alone,
            "origin": "case of this session",
        }
        assert info["speedup"] == pytest.approx(info["tokens_per_s"] / alone)


def test_a_missing_reference_is_measured_on_demand(timed: Session) -> None:
    reference = timed.info("test_half_precision")["reference"]
    assert (reference["origin"], reference["gpus"]) == ("measured on demand", 1)
    assert reference["tokens_per_s"] > 0


def test_a_degenerate_strategy_says_which_other_it_equals(timed: Session) -> None:
    assert timed.info(FULL)["degenerate"] == "tensor_data_hybrid"
    assert timed.info(TENSOR)["degenerate"] is None
    assert "= tensor_data_hybrid" in timed.row(FULL)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_a_row_for_each_case(timed: Session, name: str) -> None:
    info = timed.info(name)
    row = timed.row(name)
    assert f"{info['tokens_per_s']:,.1f}" in row
    assert f"{info['speedup']:.2f}×" in row
    assert "dp{dp}·pp{pp}·tp{tp}".format(**info["layout"]) in row
    assert "yes (" in row


def test_the_machine_is_the_same_from_run_to_run(timed: Session) -> None:
    machine = timed.saved["machine_info"]
    assert "hz_actual" not in machine["cpu"]
    assert isinstance(machine["gpus"], list)


def test_the_fingerprint_tells_workloads_apart_and_runs_together(timed: Session) -> None:
    prints = [timed.info(name)["fingerprint"] for name in (ONE, TENSOR, PIPELINE, "test_half_precision")]
    assert all(one != other for place, one in enumerate(prints) for other in prints[:place])
    assert timed.info("test_fixed")["fingerprint"] == timed.info(ONE)["fingerprint"]


def test_pytest_benchmark_compares_what_was_saved(timed: Session) -> None:
    done = run_python(timed.folder, "-m", "pytest_benchmark", "compare", "--columns=ops")
    assert done.returncode == 0, done.stdout
    assert all(name in done.stdout for name in NAMES)


def test_more_ranks_than_cores_are_said_and_have_no_efficiency(tmp_path: Path) -> None:
    test = """
import pytest

@pytest.mark.parametrize("gpus", [1, 2])
def test_case(gpt_dist, gpus):
    result = gpt_dist.run()
    assert (result.efficiency is None) == (gpus == 2)
    assert result.speedup > 0
"""
    cores = len(os.sched_getaffinity(0))
    session = run_session(
        tmp_path,
        {"test_case.py": test},
        *TINY,
        "--gpt-device=cpu",
        f"--gpt-threads-per-rank={cores}",
        "--benchmark-autosave",
    )
    assert session.status == pytest.ExitCode.OK, session.output
    assert session.info("test_case[2]")["efficiency"] is None
    assert session.info("test_case[2]")["oversubscribed"] is True
    assert session.info("test_case[1]")["oversubscribed"] is False
    assert "oversubscribed" in session.row("test_case[2]")
    assert session.row("test_case[2]").split()[4] == "-"
    assert "oversubscribed" not in session.row("test_case[1]")


def test_a_case_is_known_to_trackers_by_test_workload_and_machine(timed: Session) -> None:
    for name in NAMES:
        assert timed.info(name)["series"].startswith(f"{timed.benchmarks[name]['fullname']} · native · dp")
        assert timed.info(name)["device_name"] in timed.info(name)["series"]


def test_junit_has_the_figures_of_each_case_as_properties(timed: Session) -> None:
    cases = ElementTree.parse(timed.folder / "junit.xml").iter("testcase")
    shown = {str(case.get("name")): properties_of(case) for case in cases}
    assert {name for name, properties in shown.items() if properties} == set(NAMES)
    for name in NAMES:
        info = timed.info(name)
        assert shown[name]["strategy"] == info["strategy"]
        assert float(shown[name]["tokens_per_s"]) == info["tokens_per_s"]
        assert float(shown[name]["ttft_s"]) == info["ttft_s"]["mean"]
        assert ("tpot_s" in shown[name]) == (info["tpot_s"] is not None)


def properties_of(case: ElementTree.Element) -> dict[str, str]:
    return {str(each.get("name")): str(each.get("value")) for each in case.iter("property")}


def test_there_is_no_line_of_progress_where_the_output_is_no_terminal(timed: Session) -> None:
    saves_the_cursor = "\x1b7"
    assert saves_the_cursor not in timed.output
