"""What a report finds in saved cases, before anything is written."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.answer import key_findings
from pytest_gpt_dist.report.figures import case_figures
from pytest_gpt_dist.report.findings import Group, find
from pytest_gpt_dist.report.saved import SavedCase
from pytest_gpt_dist.report.wording import first_of, one_line
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
    return {finding.about: finding.text for finding in key_findings(one_group(*cases))}


@settings(max_examples=40)
@given(matrices())
def test_every_case_is_in_its_group_once_by_device_count(cases: list[SavedCase]) -> None:
    found = one_group(*cases).cases
    assert sorted(case.test for case in found) == sorted(case.test for case in cases)
    assert [case.gpus for case in found] == sorted(case.gpus for case in found)


@settings(max_examples=40)
@given(matrices())
def test_no_case_is_faster_than_the_fastest(cases: list[SavedCase]) -> None:
    group = one_group(*cases)
    assert group.fastest.tokens_per_s == max(case.tokens_per_s for case in group.cases)


@settings(max_examples=40)
@given(matrices())
def test_means_and_spreads_lie_between_their_cases(cases: list[SavedCase]) -> None:
    group = one_group(*cases)
    for at in group.by_count:
        there = [case for case in group.cases if case.gpus == at.gpus]
        known = [case.efficiency for case in there if case.efficiency is not None]
        assert (at.cases, at.measured) == (len(there), len(known))
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
        for figure in ("speedup", "efficiency", "bandwidth_fraction", "gpu_utilization"):
            assert (getattr(case, figure) is None) == (figure in without)


@given(st.permutations([saved_case(saved_at=f"2026-11-{day:02}", speed=float(day)) for day in (3, 5, 9)]))
def test_of_several_results_the_newest_counts(results: list[SavedCase]) -> None:
    group = one_group(*results)
    assert [case.tokens_per_s for case in group.cases] == [9]
    assert "2 older results of the same cases left out: the newest counts" in group.gaps


def test_a_session_that_was_saved_twice_is_no_second_result() -> None:
    group = one_group(saved_case(), saved_case(source="copy.json", saved_at="2026-11-01T10:00:01+00:00"))
    assert len(group.cases) == 1
    assert not any("older" in gap for gap in group.gaps)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"fingerprint": {"torch": "2.14.0"}}, "torch"),
        ({"fingerprint": {"cpu": "Other CPU", "cores": 2}}, "cores, cpu"),
        ({"fingerprint": {"dtype": "bfloat16"}, "dtype": "bfloat16"}, "dtype"),
        ({"new_tokens": 8}, "the lengths of prompts or answers"),
    ],
)
def test_what_does_not_compare_is_apart_and_the_report_says_why(other: dict[str, Any], named: str) -> None:
    found = find([saved_case(saved_at="2026-11-02"), saved_case(2, saved_at="2026-11-01", **other)])
    assert [case.gpus for group in found.groups for case in group.cases] == [1, 2]
    assert found.notes == (f"group 2 does not compare with group 1: they differ in {named}",)


def test_another_gpu_is_named_as_what_differs() -> None:
    newer = saved_case(saved_at="2026-11-02", device="cuda", device_name="H200")
    older = saved_case(2, saved_at="2026-11-01", device="cuda", device_name="A100")
    assert find([newer, older]).notes == (
        "group 2 does not compare with group 1: they differ in device_name",
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
        ({"itl_s": None, "tpot_s": None}, "no time between tokens of 4gpu: only one token"),
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
        {"lost": None},
        {"lost": lost(0.1) | {"bubble": "much"}},
        {"lost": lost(0.1) | {"other": float("nan")}},
        {"sampling": None},
        {"fingerprint": []},
        {"model": ["a"]},
    ],
)
def test_a_damaged_case_is_left_out_and_said(changes: dict[str, Any]) -> None:
    found = find([saved_case(), SavedCase("saved.json", "b.py::bad", "2026-11-01", INFO | changes)])
    assert [case.test for group in found.groups for case in group.cases] == [saved_case().test]
    (note,) = found.notes
    assert re.fullmatch(r"left out: not usable \(\w+: .+\): b.py::bad in saved.json", note)


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


def test_the_range_of_launches_is_of_their_medians() -> None:
    found = case_figures(saved_case(launches=[[0.01, 0.5, 0.01], [0.02], [0.016]])).launch_range_tokens_per_s
    assert found is not None
    assert list(found) == pytest.approx([50, 100])
    assert case_figures(saved_case()).launch_range_tokens_per_s is None


def test_the_answer_comes_first_and_says_how_far_it_is_from_the_limit() -> None:
    findings = key_findings(one_group(saved_case(), saved_case(2, speed=150.0)))
    assert [finding.about for finding in findings[:3]] == ["Fastest case", "Against the limit", "Verdicts"]
    assert findings[0].text.startswith("test_generate[2gpu-pure_data_parallel] with 150.0 tokens/s")
    assert (
        "1.50× its reference (native on 1 device, 100.0 tokens/s, case of this session)" in findings[0].text
    )
    assert findings[1].text.startswith("its decoding reaches 45% of what reading memory allows")


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
    assert rated == "1 of 2 cases; below it: test_generate[2gpu-tensor_data_hybrid]; unknown for 1"
    assert found["GPU utilisation of at least 90%"] == "not known: no GPU"


def test_the_largest_loss_of_ranks_with_cores_of_their_own_is_said() -> None:
    found = said(
        saved_case(lost=lost(0.9)),
        saved_case(2, speed=180.0, lost=lost(0.0, 0.0, 0.03, 0.07)),
        saved_case(2, "tensor_data_hybrid", speed=60.0, lost=lost(0.14, 0.02, 0.01, 0.5)),
        saved_case(4, "pipeline_data_hybrid", lost=lost(0.0, 0.2), efficiency=None, oversubscribed=True),
        saved_case(4),
    )
    assert (
        found["Largest loss"]
        == "test_generate[2gpu-tensor_data_hybrid] loses 14% of its time to communication"
    )


def test_of_a_degenerate_case_and_its_twin_the_twin_loses_most() -> None:
    found = said(
        saved_case(2, "tensor_data_hybrid", lost=lost(0.6)),
        saved_case(2, "full_model_parallel", lost=lost(0.7), degenerate="tensor_data_hybrid"),
    )
    assert found["Largest loss"].startswith("test_generate[2gpu-tensor_data_hybrid] loses 60%")


@pytest.mark.parametrize("shares", [lost(0.0), lost(0.004), dict.fromkeys(lost(0.0))])
def test_no_loss_is_said_where_none_is_known_or_none_is_worth_a_word(shares: dict[str, Any]) -> None:
    assert "Largest loss" not in said(saved_case(), saved_case(2, lost=shares))


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"lost": lost(0.1, other=0.2)}, {}),
        ({"lost": lost(0.1)}, {"lost_other": "no efficiency"}),
        ({}, {"lost": "not measured", "lost_other": "not measured"}),
        ({"device": "cuda"}, {"lost": "not measured on GPUs", "lost_other": "not measured on GPUs"}),
    ],
)
def test_losses_of_several_devices_are_there_or_have_a_reason(
    changes: dict[str, Any], missing: dict[str, str]
) -> None:
    several, alone = (case_figures(saved_case(gpus, **changes)).missing for gpus in (2, 1))
    assert {each.figure: each.why for each in several if each.figure.startswith("lost")} == missing
    assert not any(each.figure.startswith("lost") for each in alone)


def test_what_is_not_in_the_answer_is_said_right_behind_it() -> None:
    answer, absent, *_ = key_findings(one_group(saved_case()), failed=2, left_out=1)
    assert (answer.about, absent.about) == ("Fastest case", "Not in this answer")
    assert absent.text == "2 failed, 1 left out; the notes at the end say which, and why"
    assert "Not in this answer" not in said(saved_case())


def test_a_test_that_failed_after_it_was_measured_is_named() -> None:
    found = said(saved_case(failed=True), saved_case(2, speed=50.0))
    assert found["Measured, then failed"] == "test_generate[1gpu-pure_data_parallel]"
    assert found["Fastest case"].endswith("; note: its test failed")


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


def test_alerts_are_lines() -> None:
    alert = {"quantity": "temperature", "severity": "critical", "where": "GPU 0", "value": 91.5, "limit": 80}
    case = case_figures(saved_case(telemetry={"alerts": [alert, "hot\nhot", {"where": "GPU 1"}]}))
    assert case.alerts == (
        "critical: GPU 0: temperature 92 °C, above 80 °C",
        "hot hot",
        "{'where': 'GPU 1'}",
    )
