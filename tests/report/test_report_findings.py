"""What a report finds in saved cases, before anything is written."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError, one_line
from pytest_gpt_dist.inference.result_format import INFERENCE
from pytest_gpt_dist.report.figures import case_figures
from pytest_gpt_dist.report.findings import Group, find
from pytest_gpt_dist.report.key_findings import KeyFinding, at_a_glance, key_findings
from pytest_gpt_dist.results.saved import SavedCase
from pytest_gpt_dist.results.text import first_of, share
from saved_cases import ALONE, INFO, lost, saved_case

STRATEGIES = ("pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid")
SPEEDS = st.floats(1e-3, 1e6)
VERDICT = {
    "case": "",
    "kind": "regressed",
    "metric": "seconds_per_token",
    "effect": 0.1,
    "interval": [0.05, 0.15],
    "why": "beyond noise",
}


@st.composite
def matrices(draw: st.DrawFn) -> list[SavedCase]:
    """Some cases of a matrix, in any order, some of them without a reference."""
    places = draw(
        st.lists(
            st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from(STRATEGIES)), min_size=1, unique=True
        )
    )
    return [
        saved_case(gpus, strategy, speed=draw(SPEEDS), **ALONE)
        if draw(st.booleans())
        else saved_case(gpus, strategy, speed=draw(SPEEDS))
        for gpus, strategy in places
    ]


def one_group(*cases: SavedCase) -> Group:
    (group,) = find(cases).groups
    return group


def said(*cases: SavedCase) -> dict[str, str]:
    """The key findings by what they are about."""
    return {finding.about: finding.text for finding in answer(*cases)}


def answer(*cases: SavedCase) -> tuple[KeyFinding, ...]:
    """The key findings of the one group of these cases."""
    return key_findings(one_group(*cases))


@settings(max_examples=40)
@given(matrices())
def test_every_case_is_in_its_group_once_by_device_count(cases: list[SavedCase]) -> None:
    found = one_group(*cases).cases
    assert sorted(case.test for case in found) == sorted(case.test for case in cases)
    assert [case.gpus for case in found] == sorted(case.gpus for case in found)


@settings(max_examples=40)
@given(matrices())
def test_means_and_spreads_lie_between_their_cases(cases: list[SavedCase]) -> None:
    group = one_group(*cases)
    for at in group.by_count:
        there = [case for case in group.cases if case.gpus == at.gpus]
        known = [case.efficiency for case in there if case.efficiency is not None]
        assert (at.cases, at.measured) == (len(there), len(known))
        assert (at.mean_efficiency is None) == (not known)
        if at.mean_efficiency is not None:
            assert min(known) * (1 - 1e-9) <= at.mean_efficiency <= max(known) * (1 + 1e-9)
        assert at.spread is None or at.spread >= 1
    assert sum(at.cases for at in group.by_count) == len(group.cases)


@settings(max_examples=40)
@given(matrices())
def test_a_rating_takes_every_case_on_several_devices_once(cases: list[SavedCase]) -> None:
    efficiency, utilization = one_group(*cases).ratings
    rated = [*efficiency.reached, *efficiency.missed, *efficiency.unknown]
    assert sorted(case.test for case in rated) == sorted(case.test for case in cases if case.info["gpus"] > 1)
    assert all(case.efficiency is not None and case.efficiency >= 0.8 for case in efficiency.reached)
    assert all(case.efficiency is not None and case.efficiency < 0.8 for case in efficiency.missed)
    assert len(utilization.unknown) == len(cases)


@settings(max_examples=40)
@given(matrices())
def test_what_has_no_figure_has_a_reason(cases: list[SavedCase]) -> None:
    for case in one_group(*cases).cases:
        without = {missing.figure for missing in case.missing}
        assert (case.speedup is None) == ("speedup" in without)
        for figure in ("efficiency", "mbu", "gpu_utilization"):
            assert (case.share(figure) is None) == (figure in without)


@given(st.permutations([saved_case(saved_at=f"2026-11-{day:02}", speed=float(day)) for day in (3, 5, 9)]))
def test_of_several_results_the_newest_counts(results: list[SavedCase]) -> None:
    group = one_group(*results)
    assert [case.throughput for case in group.cases] == [9]
    assert "2 older results of the same cases left out: the newest counts" in group.gaps


def test_a_session_that_was_saved_twice_is_no_second_result() -> None:
    group = one_group(saved_case(), saved_case(source="copy.json", saved_at="2026-11-01T10:00:01+00:00"))
    assert len(group.cases) == 1
    assert not any("older" in gap for gap in group.gaps)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"fingerprint": {"torch": "2.14.0"}}, "torch 2.14.0 (not 2.13.0)"),
        ({"fingerprint": {"cpu": "Other CPU", "cores": 2}}, "cores 2 (not 8), cpu Other CPU (not Test CPU)"),
        ({"fingerprint": {"driver": "560"}}, "driver 560 (not none)"),
        ({"fingerprint": {"dtype": "bfloat16"}, "dtype": "bfloat16"}, "dtype bfloat16 (not float32)"),
        ({"new_tokens": 8}, "the workload"),
    ],
)
def test_what_does_not_compare_is_apart_and_the_report_says_why(other: dict[str, Any], named: str) -> None:
    found = find([saved_case(saved_at="2026-11-02"), saved_case(2, saved_at="2026-11-01", **other)])
    assert [case.gpus for group in found.groups for case in group.cases] == [1, 2]
    assert [group.apart for group in found.groups] == ["", f"group 1 in {named}"]
    assert found.notes == (f"group 2 does not compare: it differs from group 1 in {named}",)


def test_a_group_is_told_from_the_earlier_one_that_is_most_like_it() -> None:
    far: dict[str, Any] = {"fingerprint": {"torch": "1", "cores": 2}, "saved_at": "2026-10-30"}
    near: dict[str, Any] = {
        "fingerprint": {"torch": "1", "cores": 2, "python": "3.12.1"},
        "saved_at": "2026-10-29",
    }
    groups = find([saved_case(), saved_case(**far), saved_case(**near)]).groups
    assert [group.apart for group in groups] == [
        "",
        "group 1 in cores 2 (not 8), torch 1 (not 2.13.0)",
        "group 2 in python 3.12.1 (not 3.11.7)",
    ]


def test_another_gpu_is_named_as_what_differs() -> None:
    newer = saved_case(saved_at="2026-11-02", device="cuda", device_name="H200")
    older = saved_case(2, saved_at="2026-11-01", device="cuda", device_name="A100")
    assert find([newer, older]).notes == (
        "group 2 does not compare: it differs from group 1 in device_name A100 (not H200)",
    )


def test_one_test_with_other_requests_is_another_case_and_its_name_says_so() -> None:
    cases = [
        saved_case(
            test="b.py::test_mine", speed=count, fingerprint={"requests": count, "prompts_sha256": f"{count}"}
        )
        for count in (4, 8)
    ]
    group = one_group(*cases)
    assert [case.case for case in group.cases] == ["test_mine (requests 4)", "test_mine (requests 8)"]
    assert not any("older" in gap for gap in group.gaps)


def test_engines_stand_in_one_group_as_series_of_their_own() -> None:
    group = one_group(saved_case(), saved_case(engine="transformers", test="b.py::test[transformers]"))
    assert [str(series) for series in group.series] == [
        "pure_data_parallel",
        "pure_data_parallel · transformers",
    ]


def test_what_a_full_matrix_would_have_besides_is_named() -> None:
    group = one_group(saved_case(2), saved_case(4), saved_case(2, "tensor_data_hybrid"))
    assert "no case: tensor_data_hybrid on 4 devices" in group.gaps
    assert "no case: native on one device" in group.gaps


def test_a_layout_given_by_its_degrees_is_missed_nowhere_else() -> None:
    group = one_group(saved_case(2), saved_case(4), saved_case(2, "dp1pp1tp2"))
    assert not any("dp1pp1tp2" in gap for gap in group.gaps)


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        (
            {"efficiency": None, "oversubscribed": True},
            "no efficiency of 4gpu: oversubscribed: ranks share cores",
        ),
        ({"collectives_per_step": None}, "no losses of 4gpu: the engine communicates by itself"),
        ({"efficiency": None, "shared_gpu": True}, "no efficiency of 4gpu: ranks share a GPU"),
        (
            {"speedup": None, "efficiency": None, "marks": ["no speed-up: fits on no device"]},
            "no efficiency of 4gpu: no speed-up: fits on no device",
        ),
        ({"peak_memory_bytes": [None] * 4}, "no memory of 4gpu: the system did not tell"),
        ({"itl_s": None, "tpot_s": None}, "no TPOT, ITL of 4gpu: only one token"),
    ],
)
def test_a_gap_names_the_case_and_the_reason(changes: dict[str, Any], gap: str) -> None:
    assert gap in one_group(saved_case(), saved_case(4, test="b.py::4gpu", **changes)).gaps


@pytest.mark.parametrize(
    "changes",
    [
        {"gpus": 0},
        {"gpus": "two"},
        {"tokens_per_s": None},
        {"tokens_per_s": "fast"},
        {"tokens_per_s": -1.0},
        {"tokens_per_s": float("nan")},
        {"latency_s": {"mean": 1.0}},
        {"latency_s": 3},
        {"launches": [[0.0]]},
        {"launches": [[1e-320]]},
        {"reference": INFO["reference"] | {"tokens_per_s": 0}},
        {"launches": None},
        {"peak_memory_bytes": [True]},
        {"marks": 7},
        {"layout": None},
        {"time_lost": None},
        {"time_lost": lost(0.1) | {"bubble": "much"}},
        {"time_lost": lost(0.1) | {"other": float("nan")}},
        {"sampling": None},
        {"schema": 99},
        {"gpus": 3},
        {"layout": {"dp": 1, "pp": 1, "tp": 2}},
        {"strategy": []},
        {"engine": {}},
        {"matches_reference": "no"},
        {"marks": "throttled: thermal"},
        {"marks": [7]},
        {"oversubscribed": 1},
        {"latency_s": {"mean": -5, "p50": 1, "p95": 1, "p99": 1}},
        {"mbu": -0.5},
        {"peak_memory_bytes": [-5e9]},
        {"peak_memory_bytes": [1, 2, 3]},
        {"energy_j_per_token": -1},
        {"telemetry": {"ranks": [{"cpu": {"mean": -1, "max": 1}}]}},
        {"fingerprint": []},
        {"model": ["a"]},
    ],
)
def test_a_damaged_case_is_left_out_and_said(changes: dict[str, Any]) -> None:
    found = find([saved_case(), SavedCase("saved.json", "b.py::bad", "2026-11-01", INFO | changes)])
    assert [case.test for group in found.groups for case in group.cases] == [saved_case().test]
    (note,) = found.notes
    assert re.fullmatch(r"left out: not usable \(\w+: .+\): b.py::bad in saved.json", note)


def test_a_case_of_another_schema_is_refused_by_name() -> None:
    (note,) = find([saved_case(), saved_case(2, test="b.py::older", schema=1)]).notes
    assert "saved by schema 1, and this version reads 2): b.py::older in saved.json" in note


def test_a_long_name_hides_neither_the_reason_nor_the_file() -> None:
    (note,) = find([saved_case(), saved_case(2, test="x" * 999, source="y" * 999, model=None)]).notes
    assert note.startswith("left out: not usable (TypeError: ")
    assert note.endswith("y" * 999)


def test_a_name_that_would_command_the_terminal_is_shown_without_its_marks() -> None:
    with pytest.raises(UsageError) as raised:
        find([SavedCase("\x1b[31m.json", "b.py::\x1b[2J", "2026-11-01", INFO | {"model": ["a"]})])
    assert str(raised.value).isprintable()


def test_cases_that_are_damaged_alone_are_an_error() -> None:
    with pytest.raises(UsageError, match="not usable"):
        find([SavedCase("saved.json", "b.py::bad", "2026-11-01", INFO | {"gpus": 0})])


@given(
    st.dictionaries(
        st.sampled_from(sorted(INFO)), st.none() | st.integers() | st.text() | st.lists(st.none())
    )
)
def test_whatever_is_saved_a_case_is_read_or_refused_in_a_line(changes: dict[str, Any]) -> None:
    try:
        find([saved_case(), SavedCase("saved.json", "b.py::any", "2026-11-01", INFO | changes)])
    except UsageError as error:
        pytest.fail(f"the sound case was lost: {error}")


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 200
    assert one_line(line) == line


def test_of_many_names_three_are_said_and_the_rest_is_counted() -> None:
    assert first_of(list("abcde")) == "a, b, c, and 2 more"
    assert first_of(list("abc"), "; ") == "a; b; c"


def test_the_range_of_launches_is_of_means_over_their_rounds_as_the_throughput_is() -> None:
    launches = [[0.01, 0.04, 0.01], [0.02], [0.016]]
    samples = [sample for launch in launches for sample in launch]
    case = case_figures(saved_case(launches=launches, tokens_per_s=len(samples) / sum(samples)))
    found = case.launch_range
    assert found is not None
    assert list(found) == pytest.approx([50, 62.5])
    assert found[0] <= case.throughput <= found[1]
    assert case_figures(saved_case()).launch_range is None


def test_cases_of_two_revisions_are_said_so() -> None:
    cases = [saved_case(revision="a1"), saved_case(2, revision="b2"), saved_case(4, revision="b2")]
    assert one_group(*cases).revisions == ("a1", "b2")
    assert one_group(*cases).machine.endswith("Python 3.11.7")
    assert one_group(*cases[1:]).machine.endswith("Python 3.11.7 · revision b2")


def test_two_tests_of_one_strategy_are_two_series() -> None:
    cases = [
        saved_case(gpus, test=f"b.py::test_{name}[{gpus}gpu-pure_data_parallel]")
        for name in ("mine", "other")
        for gpus in (1, 2)
    ]
    group = one_group(*cases, saved_case(2, "tensor_data_hybrid"))
    assert [str(series) for series in group.series] == [
        "pure_data_parallel · test_mine",
        "pure_data_parallel · test_other",
        "tensor_data_hybrid",
    ]


def test_one_test_with_two_parameters_is_two_series() -> None:
    cases = [
        saved_case(gpus, test=f"b.py::test_mine[{gpus}gpu-pure_data_parallel-{batches}]")
        for batches in ("one", "two")
        for gpus in (1, 2)
    ]
    assert [str(series) for series in one_group(*cases).series] == [
        "pure_data_parallel · one",
        "pure_data_parallel · two",
    ]


def test_tests_that_share_the_counts_of_a_strategy_are_one_series() -> None:
    cases = [saved_case(gpus, test=f"b.py::test_{gpus}[x]") for gpus in (1, 2)]
    assert [str(series) for series in one_group(*cases).series] == ["pure_data_parallel"]


def test_a_group_at_a_glance_is_its_answer_and_its_verdicts() -> None:
    verdicts = (VERDICT, VERDICT | {"metric": "ttft_s"}, VERDICT | {"kind": "unchanged"})
    assert at_a_glance(one_group(saved_case(verdicts=verdicts), saved_case(2, speed=50.0))) == (
        "One device is fastest: 100 tokens/s; verdicts: 2 regressed, 1 unchanged"
    )


def test_the_findings_say_how_far_the_answer_is_from_the_limit() -> None:
    limit, verdicts, *_ = answer(saved_case(), saved_case(2, speed=150.0))
    assert (limit.about, verdicts.about) == ("Against the limit", "Verdicts")
    assert limit.text.startswith("decoding of 2gpu reaches 45% of what reading memory allows")


def test_beyond_the_limit_the_reason_is_said() -> None:
    found = said(saved_case(mbu=1.2, mfu=None))
    assert found["Against the limit"].endswith(
        "120% of what reading memory allows (" + INFERENCE.limits[0].beyond + ")"
    )


def test_without_an_answer_no_case_is_held_against_the_limit_and_what_was_disturbed_is_named() -> None:
    found = said(
        saved_case(2, marks=["swapped"], speed=170.0), saved_case(2, "tensor_data_hybrid", speed=150.0)
    )
    assert "Against the limit" not in found
    assert found["Spread on 2 devices"].endswith("; disturbed: pure_data_parallel")
    assert found["Mean efficiency on 2 devices"].endswith("; disturbed: pure_data_parallel")


def test_efficiency_spread_and_ratings_are_said_by_device_count() -> None:
    found = said(
        saved_case(),
        saved_case(2, speed=180.0),
        saved_case(2, "tensor_data_hybrid", speed=60.0),
        saved_case(4, speed=200.0, efficiency=None, oversubscribed=True),
    )
    assert found["Mean efficiency on 2 devices"] == "60% (2 of 2 cases measured)"
    assert found["Mean efficiency on 4 devices"] == "not known: oversubscribed: ranks share cores"
    assert "has 3.00× the tokens/s" in found["Spread on 2 devices"]
    rated = found["Efficiency of at least 80%"]
    assert rated == "1 of 2 cases; below it: 2gpu-tensor_data_hybrid (30%); unknown for 1"
    assert found["GPU utilisation of at least 90%"] == "not known: no GPU"


def test_the_largest_loss_of_ranks_with_cores_of_their_own_is_said() -> None:
    found = said(
        saved_case(time_lost=lost(0.9)),
        saved_case(2, speed=180.0, time_lost=lost(0.0, 0.0, 0.03, 0.07)),
        saved_case(2, "tensor_data_hybrid", speed=60.0, time_lost=lost(0.14, 0.02, 0.01, 0.5)),
        saved_case(4, "pipeline_data_hybrid", time_lost=lost(0.0, 0.2), efficiency=None, oversubscribed=True),
        saved_case(4),
    )
    assert found["Largest measured loss"] == (
        "2gpu-tensor_data_hybrid loses 14% of its time to communication;"
        " cases whose ranks share cores do not count; 50% go to what no clock saw"
    )


def test_of_a_degenerate_case_and_its_twin_the_twin_loses_most() -> None:
    found = said(
        saved_case(2, "tensor_data_hybrid", time_lost=lost(0.6)),
        saved_case(2, "full_model_parallel", time_lost=lost(0.7), degenerate="tensor_data_hybrid"),
    )
    assert found["Largest measured loss"].startswith("tensor_data_hybrid loses 60%")


@pytest.mark.parametrize("shares", [lost(0.0), lost(0.004), dict.fromkeys(lost(0.0))])
def test_no_loss_is_said_where_none_is_known_or_none_is_worth_a_word(shares: dict[str, Any]) -> None:
    assert "Largest measured loss" not in said(saved_case(), saved_case(2, time_lost=shares))


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"time_lost": lost(0.1, other=0.2)}, {}),
        ({"time_lost": lost(0.1)}, {"time_lost_other": "no efficiency"}),
        ({}, {"time_lost": "not measured", "time_lost_other": "not measured"}),
        (
            {"device": "cuda"},
            {"time_lost": "not measured on GPUs", "time_lost_other": "not measured on GPUs"},
        ),
    ],
)
def test_losses_of_several_devices_are_there_or_have_a_reason(
    changes: dict[str, Any], missing: dict[str, str]
) -> None:
    several, alone = (case_figures(saved_case(gpus, **changes)).missing for gpus in (2, 1))
    assert {each.figure: each.why for each in several if each.figure.startswith("time_lost")} == missing
    assert not any(each.figure.startswith("time_lost") for each in alone)


def test_a_degenerate_case_counts_in_no_mean_spread_or_rating_beside_its_twin() -> None:
    twin = saved_case(2, "tensor_data_hybrid", speed=120.0)
    degenerate = saved_case(2, "full_model_parallel", speed=60.0, degenerate="tensor_data_hybrid")
    group = one_group(saved_case(), twin, degenerate)
    assert len(group.cases) == 3
    at = group.by_count[1]
    assert (at.cases, at.spread) == (1, None)
    assert at.mean_efficiency == pytest.approx(0.6)
    efficiency, utilization = group.ratings
    assert [case.strategy for case in efficiency.missed] == ["tensor_data_hybrid"]
    assert len(utilization.unknown) == 2
    assert one_group(saved_case(), degenerate).by_count[1].mean_efficiency == pytest.approx(0.3)


def test_where_a_case_does_not_count_is_said() -> None:
    found = said(
        saved_case(2, speed=180.0, time_lost=lost(0.1)),
        saved_case(2, "tensor_data_hybrid", speed=60.0, time_lost=lost(0.6)),
        saved_case(
            2, "full_model_parallel", speed=40.0, time_lost=lost(0.7), degenerate="tensor_data_hybrid"
        ),
    )
    assert found["Mean efficiency on 2 devices"] == "60% (2 of 2 cases measured; 1 not counted)"
    assert found["Spread on 2 devices"].startswith("the fastest of 2, ")
    for about in ("Spread on 2 devices", "Largest measured loss", "Efficiency of at least 80%"):
        assert found[about].endswith("; 1 not counted")


def test_a_figure_just_below_its_target_does_not_look_as_if_it_reached_it() -> None:
    found = said(saved_case(), saved_case(2, speed=159.4))
    assert found["Efficiency of at least 80%"].endswith("2gpu (79.7%)")


@pytest.mark.parametrize(
    ("value", "text"), [(0.797, "79.7%"), (0.7996, "79.96%"), (0.8, "80%"), (0.804, "80%"), (0.5, "50%")]
)
def test_a_share_has_as_many_digits_as_tell_its_side_of_a_target(value: float, text: str) -> None:
    assert share(value, 0.8) == text


def test_of_many_regressions_three_are_named() -> None:
    verdicts = tuple(VERDICT | {"metric": f"m{number}"} for number in range(5))
    assert said(saved_case(verdicts=verdicts))["Verdicts"].endswith("m2, and 2 more")


def test_regressions_are_named_with_what_got_slower() -> None:
    found = said(saved_case(verdicts=(VERDICT | {"metric": "ttft_s"}, VERDICT | {"kind": "unchanged"})))
    assert found["Verdicts"] == (
        "1 regressed, 1 unchanged; regressed: test_generate[1gpu-pure_data_parallel] TTFT"
    )
    assert said(saved_case())["Verdicts"] == "none: the session was compared with nothing"


def test_a_verdict_that_names_no_metric_is_on_the_time_per_token() -> None:
    older = {name: value for name, value in VERDICT.items() if name != "metric"}
    (verdict,) = case_figures(saved_case(verdicts=(older,))).verdicts
    assert verdict.metric == "seconds_per_token"


@pytest.mark.parametrize("damage", [{"effect": "much"}, {"interval": [1]}, {"interval": 3}, {"why": None}])
def test_a_verdict_that_cannot_be_read_costs_the_case_nothing_else(damage: dict[str, Any]) -> None:
    unreadable = {name: value for name, value in (VERDICT | damage).items() if value is not None}
    case = case_figures(saved_case(verdicts=(unreadable, VERDICT)))
    assert [verdict.kind for verdict in case.verdicts] == ["regressed"]
    assert case.notes == ("not every verdict can be read",)


@pytest.mark.parametrize("telemetry", [None, {}, {"alerts": None}, {"alerts": 3}, 5, "text"])
def test_telemetry_without_alerts_is_none(telemetry: object) -> None:
    assert case_figures(saved_case(telemetry=telemetry)).alerts == ()


def test_alerts_of_the_launches_for_an_ab_are_told_too() -> None:
    alert = {"quantity": "temperature", "severity": "critical", "where": "GPU 7", "value": 99, "limit": 80}
    case = case_figures(saved_case(against={"name": "HEAD", "alerts": [alert]}))
    assert case.alerts == ("critical: GPU 7: temperature 99 °C, above 80 °C (in launches for the A/B)",)


def test_the_marks_after_which_times_do_not_compare_are_told_apart() -> None:
    marks = ["tokens vary", "throttled: thermal", "swapped"]
    assert case_figures(saved_case(marks=marks)).disturbed == ("throttled: thermal", "swapped")
    assert case_figures(saved_case()).disturbed == ()


def test_alerts_are_lines() -> None:
    alert = {"quantity": "temperature", "severity": "critical", "where": "GPU 0", "value": 91.5, "limit": 80}
    case = case_figures(saved_case(telemetry={"alerts": [alert, "hot\nhot", {"where": "GPU 1"}]}))
    assert case.alerts == (
        "critical: GPU 0: temperature 92 °C, above 80 °C",
        "hot hot",
        "where GPU 1",
    )
