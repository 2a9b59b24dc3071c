"""The first screen of a report: the answer, whether there is one, its figures, and what to know before believing it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.inference.result_format import INFERENCE
from pytest_gpt_dist.report.bars import MOST_BARS, bars
from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY, Card, cards
from pytest_gpt_dist.report.caveats import Badge, badges
from pytest_gpt_dist.report.findings import Group, find
from pytest_gpt_dist.report.headline import (
    MOST_WORDS,
    Answer,
    Headline,
    answers,
    headline,
    throughput_contest,
)
from pytest_gpt_dist.report.names import plain_name, without_shared
from pytest_gpt_dist.report.overview import closing_lines
from pytest_gpt_dist.results.saved import SavedCase
from saved_cases import ALONE, lost, saved_case

DP, TP, PP = "pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid"
PAIRED: dict[str, Any] = {
    "kind": "regressed", "metric": "seconds_per_token", "mode": "paired", "used": 4, "effect": 0.1,
    "interval": [0.05, 0.15], "detectable": 0.03, "why": "beyond noise",
}  # fmt: skip
STORED = PAIRED | {"mode": "stored"}
MARKS = (
    "throttled: thermal",
    "shared device: others took 23%",
    "swapped",
    "drifting: warming up",
    "tokens vary",
    "speed-up refers to a disturbed run: swapped",
)


def one_group(*cases: SavedCase) -> Group:
    (group,) = find(cases).groups
    return group


def opening(*cases: SavedCase) -> Headline:
    return headline(one_group(*cases))


def figure(name: str, *cases: SavedCase) -> Card:
    return next(card for card in cards(one_group(*cases)) if card.name == name)


def wanted(name: str, *cases: SavedCase) -> Answer:
    return next(answer for answer in answers(one_group(*cases)) if answer.wanted == name)


def warned(*cases: SavedCase, **absent: list[str]) -> dict[str, Badge]:
    """The badges of the one group of these cases by label; ``absent`` are lines on what is not among them."""
    found = find(cases, **absent)
    return {badge.label: badge for badge in badges(found.groups[0], found)}


@st.composite
def sessions(draw: st.DrawFn) -> list[SavedCase]:
    """Cases of several engines, layouts, marks and verdicts, some under names of a user's own."""
    found = []
    for place in range(draw(st.integers(1, 5))):
        gpus = draw(st.sampled_from([1, 2, 4, 64]))
        degrees = draw(
            st.sampled_from([{"dp": gpus}, {"tp": gpus}, {"pp": gpus // 2 or 1, "tp": min(gpus, 2)}])
        )
        found.append(
            saved_case(
                gpus,
                draw(st.sampled_from([DP, TP, PP, "full_model_parallel", "my own strategy", "dp1pp1tp2"])),
                layout={"dp": 1, "pp": 1, "tp": 1} | degrees,
                engine=draw(st.sampled_from(["native", "transformers", "an engine of mine"])),
                test=f"b.py::test_{place}[{draw(st.text(max_size=60))}]",
                speed=draw(st.floats(1e-3, 1e7)),
                marks=draw(st.lists(st.sampled_from(MARKS), max_size=2)),
                oversubscribed=draw(st.booleans()),
                shared_gpu=draw(st.booleans()),
                verdicts=tuple(
                    draw(st.sampled_from([PAIRED, STORED]))
                    | {"kind": draw(st.sampled_from(["regressed", "improved", "unchanged", "inconclusive"]))}
                    for _ in range(draw(st.integers(0, 2)))
                ),
                against={"name": draw(st.text(max_size=60))} if draw(st.booleans()) else None,
            )
        )
    return found


@settings(max_examples=40, deadline=None)
@given(sessions())
def test_the_headline_has_a_dozen_words_at_most_whatever_was_measured(cases: list[SavedCase]) -> None:
    found = find(cases)
    for group in found.groups:
        assert 0 < len(headline(group).text.split()) <= MOST_WORDS
        assert 3 <= len(cards(group)) <= 5
        assert all(len(badge.label.split()) <= 6 and badge.meaning for badge in badges(group, found))
    assert len(closing_lines(found)) <= 2


@settings(max_examples=40, deadline=None)
@given(sessions())
def test_no_disturbed_case_and_none_that_shares_a_device_beats_others(cases: list[SavedCase]) -> None:
    for group in find(cases).groups:
        shown = [bar for _, found in bars(group).by_count for bar in found]
        assert not any(bar.best and bar.suffers for bar in shown if len(group.distinct) > 1)
        assert all(0 <= bar.percent <= 100 for bar in shown)


def test_the_headline_has_the_plain_name_the_devices_and_the_gain() -> None:
    found = opening(saved_case(), saved_case(2, speed=164.2), saved_case(2, TP, speed=30.0))
    assert found == Headline("Data parallel on 2 devices is fastest: 164 tokens/s, 1.64× one device", "good")


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=6, unique=True))
def test_no_undisturbed_case_is_faster_than_the_answer(speeds: list[float]) -> None:
    group = one_group(*(saved_case(2**place, speed=speed) for place, speed in enumerate(speeds)))
    assert throughput_contest(group).best.throughput == max(speeds)


def test_one_device_can_be_fastest() -> None:
    assert opening(saved_case(), saved_case(2, TP, speed=30.0)).text == "One device is fastest: 100 tokens/s"


def test_a_case_alone_is_not_fastest_of_anything() -> None:
    found = opening(saved_case(2, speed=150.0))
    assert found.text == "Data parallel on 2 devices: 150 tokens/s, 1.50× one device"
    assert answers(one_group(saved_case(2))) == ()


def test_launches_that_overlap_have_no_clear_winner() -> None:
    cases = [
        saved_case(2, speed=180.0, launches=[[1 / 170], [1 / 190]]),
        saved_case(2, TP, speed=160.0, launches=[[1 / 145], [1 / 175]]),
        saved_case(2, PP, speed=100.0, launches=[[1 / 90], [1 / 110]]),
    ]
    found = opening(*cases)
    assert found.text == "No clear winner: 2 cases are level at 180 tokens/s"
    assert "data parallel on 2 devices, tensor parallel on 2 devices" in found.why
    assert opening(cases[0], cases[2]).text.startswith("Data parallel on 2 devices is fastest")


@pytest.mark.parametrize(
    ("mark", "advice"),
    [
        ("shared device: others took 23%", "End the other work"),
        ("throttled: thermal", "Let the GPUs cool"),
        ("swapped", "Free memory"),
    ],
)
@pytest.mark.parametrize("disturbed", [0, 1])
def test_a_disturbed_case_that_competes_leaves_no_answer_and_what_to_do(
    mark: str, advice: str, disturbed: int
) -> None:
    cases = [
        saved_case(2, strategy, speed=speed, marks=[mark] if place == disturbed else [])
        for place, (strategy, speed) in enumerate(((DP, 180.0), (TP, 100.0)))
    ]
    found = opening(*cases)
    assert found.text == "No answer: 1 of 2 competing cases was disturbed"
    assert found.why.startswith(advice)
    assert mark in found.why
    assert wanted("Most tokens in total", *cases).text == "No answer"
    assert [card.value for card in cards(one_group(*cases))[:3]] == ["-", "-", "-"]
    assert not any(bar.best for _, there in bars(one_group(*cases)).by_count for bar in there)


def test_a_disturbed_case_far_behind_leaves_the_answer() -> None:
    slow = saved_case(2, TP, speed=80.0, marks=["swapped"])
    assert opening(saved_case(2, speed=180.0), slow).tone == "good"
    assert "1 swapped" in warned(saved_case(2, speed=180.0), slow)


def test_drifting_leaves_no_answer_where_it_could_change_it() -> None:
    drifting = saved_case(2, speed=180.0, marks=["drifting: warming up"])
    near, far = (saved_case(2, TP, speed=speed) for speed in (170.0, 100.0))
    assert opening(drifting, near).text == "No answer: 1 of 2 competing cases was disturbed"
    assert "--gpt-warmup" in opening(drifting, near).why
    assert opening(drifting, far).text.startswith("Data parallel on 2 devices is fastest")


def test_ranks_that_share_cores_are_no_part_of_the_answer_until_they_look_fastest() -> None:
    alone = saved_case(2, speed=150.0)
    slower, faster = (
        saved_case(4, speed=speed, efficiency=None, oversubscribed=True) for speed in (140.0, 160.0)
    )
    assert opening(alone, slower).text.startswith("Data parallel on 2 devices is fastest")
    assert opening(alone, faster).text == "No answer: what looks fastest shares its cores"
    assert opening(slower, saved_case(4, TP, speed=90.0, efficiency=None, oversubscribed=True)).text == (
        "No answer: ranks share cores"
    )


def test_a_speed_up_over_a_disturbed_run_is_not_said() -> None:
    cases = [saved_case(), saved_case(2, speed=150.0, marks=["speed-up refers to a disturbed run: swapped"])]
    assert opening(*cases).text == "Data parallel on 2 devices is fastest: 150 tokens/s"
    assert figure("Speed-up", *cases).value == "-"


@pytest.mark.parametrize(
    ("kinds", "text", "tone"),
    [
        (("regressed", "unchanged"), "1 of 2 cases got slower than HEAD, up to +10.0%", "bad"),
        (("inconclusive", "improved"), "No answer against HEAD: 1 of 2 cases undecided", "open"),
        (("improved", "unchanged"), "1 of 2 cases got faster than HEAD, up to +10.0%", "good"),
        (("unchanged", "unchanged"), "No slower than HEAD: 2 of 2 cases unchanged", "good"),
    ],
)
def test_the_report_of_an_ab_opens_with_its_verdict(kinds: tuple[str, str], text: str, tone: str) -> None:
    cases = [
        saved_case(gpus, speed=80.0 * gpus, verdicts=(PAIRED | {"kind": kind},), against={"name": "HEAD"})
        for gpus, kind in zip((1, 2), kinds, strict=True)
    ]
    assert (opening(*cases).text, opening(*cases).tone) == (text, tone)
    assert cards(one_group(*cases))[0].name == "Verdicts"
    assert wanted("Most tokens in total", *cases).text == "Data parallel on 2 devices, 160 tokens/s"


def test_verdicts_on_saved_sessions_are_a_card_each_case_by_its_worst() -> None:
    cases = [
        saved_case(verdicts=(STORED | {"kind": "unchanged"}, STORED | {"metric": "ttft_s"})),
        saved_case(2, speed=150.0, verdicts=(STORED | {"kind": "improved"},)),
    ]
    assert opening(*cases).text.startswith("Data parallel on 2 devices is fastest")
    found = figure("Verdicts", *cases)
    assert (found.value, found.note, found.tone) == ("1", "regressed, 1 improved; of 2 cases", "bad")
    assert figure("Verdicts", saved_case()).value == "none"


def test_the_cards_are_of_the_answer() -> None:
    cases = [saved_case(), saved_case(2, speed=170.0, mbu=0.3, max_logit_error=2e-6)]
    assert [(card.name, card.value, card.tone) for card in cards(one_group(*cases))] == [
        ("Speed-up", "1.70×", "plain"),
        ("Efficiency", "85%", "good"),
        ("Of the limit", "30%", "plain"),
        ("Verdicts", "none", "plain"),
        ("Exact", "2 of 2", "good"),
    ]
    assert figure("Exact", *cases).note.endswith("logits within 2e-06")
    assert figure("Exact", saved_case(matches_reference=False)).tone == "bad"


def test_a_figure_beyond_the_whole_says_why() -> None:
    cases = [saved_case(), saved_case(2, speed=230.0, mbu=1.1)]
    assert (figure("Efficiency", *cases).value, figure("Efficiency", *cases).note) == (
        "115%",
        BEYOND_EFFICIENCY,
    )
    assert (figure("Of the limit", *cases).value, figure("Of the limit", *cases).note) == (
        "110%",
        INFERENCE.limits[0].beyond,
    )
    assert BEYOND_EFFICIENCY in warned(*cases)["1 beyond 100%"].meaning


def test_a_card_without_a_figure_has_the_reason() -> None:
    assert figure("Speed-up", saved_case(2, **ALONE)).note == "no speed-up: fits on no device"


def test_who_is_best_in_total_for_one_user_and_in_memory_each_with_its_reason() -> None:
    slow = {"mean": 0.8, "p50": 0.8, "p95": 0.9, "p99": 0.9}
    cases = [
        saved_case(latency_s=slow),
        saved_case(2, speed=150.0, latency_s=slow),
        saved_case(2, TP, speed=100.0, time_lost=lost(0.4), peak_memory_bytes=[60 * 2**20, 50 * 2**20]),
    ]
    assert [(answer.wanted, answer.text) for answer in answers(one_group(*cases))] == [
        ("Most tokens in total", "Data parallel on 2 devices, 150 tokens/s"),
        ("Soonest for one user", "Tensor parallel on 2 devices, 400.0 ms a request"),
        ("Least memory a device", "Tensor parallel on 2 devices, 60 MiB a device"),
    ]
    total, soonest, memory = (answer.why for answer in answers(one_group(*cases)))
    assert total == "50% more than one device"
    assert soonest == "50% sooner than one device; first token after 30.0 ms; requests ran in batches of 4"
    assert memory == "weights are 90 MiB of that; 0.60× one device's 100 MiB"
    assert wanted("Most tokens in total", *cases[1:]).why == (
        "50% more than tensor parallel on 2 devices, which loses 40% of its time to communication"
    )


def test_what_is_not_in_the_answer_is_a_badge_with_its_lines() -> None:
    found = warned(saved_case(), failed=["a", "b"], left_out=["c"], skipped=["d", "e"])
    assert list(found)[:3] == ["2 failed", "1 left out", "2 files unread"]
    assert found["2 failed"].meaning.endswith("a; b.")


@pytest.mark.parametrize(
    ("cases", "label", "said"),
    [
        ([saved_case()], "one launch each", "--gpt-launches=5"),
        ([saved_case(failed=True)], "1 failed later", "test_generate[1gpu-pure_data_parallel]"),
        ([saved_case(revision="a1"), saved_case(2, revision="b2")], "2 revisions", "a1 (1 of 2 cases)"),
        (
            [saved_case(2, TP), saved_case(2, "full_model_parallel", degenerate=TP)],
            "1 counted once",
            f"full_model_parallel has the layout of {TP}",
        ),
        ([saved_case(4, oversubscribed=True, efficiency=None)], "1 oversubscribed", "--gpt-gpus"),
        ([saved_case(marks=["swapped"])], "1 swapped", "Free memory"),
        ([saved_case(marks=["throttled: thermal"])], "1 throttled", "(thermal)"),
        ([saved_case(marks=["a mark of tomorrow"])], "1 a mark of tomorrow", "A mark of the measurement"),
        ([saved_case(verdicts=(STORED,))], "1 regressed", "than noise explains"),
        ([saved_case(matches_reference=False)], "1 inexact", "not that of one device"),
    ],
)
def test_a_caveat_is_a_badge_that_says_what_it_means(cases: list[SavedCase], label: str, said: str) -> None:
    assert said in warned(*cases)[label].meaning


def test_a_clean_session_of_several_launches_has_no_badge() -> None:
    assert warned(saved_case(launches=[[0.01], [0.0101]])) == {}


@pytest.mark.parametrize(
    ("strategy", "degrees", "name"),
    [
        (DP, {"dp": 1}, "one device"),
        (DP, {"dp": 4}, "data parallel on 4 devices"),
        (TP, {"dp": 2, "tp": 2}, "tensor+data parallel on 4 devices"),
        (PP, {"pp": 4}, "pipeline parallel on 4 devices"),
        ("full_model_parallel", {"pp": 2, "tp": 2}, "tensor+pipeline parallel on 4 devices"),
        ("dp2pp1tp2", {"dp": 2, "tp": 2}, "tensor+data parallel on 4 devices"),
        ("mine", {"tp": 4}, "mine on 4 devices"),
    ],
)
def test_a_plain_name_is_that_of_the_layout(strategy: str, degrees: dict[str, int], name: str) -> None:
    gpus = max(degrees["dp"] if len(degrees) == 1 and "dp" in degrees else 4, 1)
    group = one_group(saved_case(gpus, strategy, layout={"dp": 1, "pp": 1, "tp": 1} | degrees))
    assert plain_name(group.cases[0], group.cases) == name


def test_cases_of_one_layout_are_told_apart_by_engine_and_by_test() -> None:
    group = one_group(
        saved_case(2, engine="transformers", test="b.py::test_a"),
        *(saved_case(2, test=f"b.py::test_{name}") for name in ("one two", "three")),
    )
    assert [plain_name(case, group.cases) for case in group.cases] == [
        "data parallel on 2 devices (transformers)",
        "data parallel on 2 devices (test_one·two)",
        "data parallel on 2 devices (test_three)",
    ]


@pytest.mark.parametrize(
    ("names", "shared", "rests"),
    [
        (
            ["test_generate[1gpu-dp-qwen3.n24]", "test_generate[2gpu-tp-qwen3.n24]"],
            "test_generate[…-qwen3.n24]",
            ("1gpu-dp", "2gpu-tp"),
        ),
        (["test_mine", "test_other"], "", ("test_mine", "test_other")),
        (["test_mine (requests 4)", "test_mine (requests 8)"], "", ...),
        (["test_generate[2gpu]"], "", ...),
        (["test_a[x]", "test_a[x]"], "", ...),
    ],
)
def test_what_names_share_is_left_out_of_them_and_said_once(
    names: list[str], shared: str, rests: Any
) -> None:
    assert without_shared(names) == (shared, tuple(names) if rests is ... else rests)


@given(st.lists(st.text("ab[]-_. 12", min_size=1, max_size=12), min_size=1, max_size=5))
def test_a_shortened_name_leads_back_to_the_whole_one(names: list[str]) -> None:
    shared, rests = without_shared(names)
    start, _, end = shared.partition("…")
    assert [f"{start}{rest}{end}" for rest in rests] == names


def test_names_are_short_in_the_report_and_whole_among_its_sources() -> None:
    group = one_group(saved_case(), saved_case(2, TP))
    assert group.shared == "test_generate[…]"
    assert [case.case for case in group.cases] == ["1gpu-pure_data_parallel", "2gpu-tensor_data_hybrid"]
    assert group.cases[0].test == "bench.py::test_generate[1gpu-pure_data_parallel]"


def test_the_chart_has_every_strategy_by_device_count() -> None:
    group = one_group(
        saved_case(),
        saved_case(2, TP, speed=50.0, oversubscribed=True, efficiency=None),
        saved_case(2, speed=200.0, launches=[[1 / 150], [1 / 250]]),
    )
    found = bars(group)
    assert [(count, [bar.label for bar in there]) for count, there in found.by_count] == [
        ("1 device", ["whole model"]),
        ("2 devices", ["tensor parallel", "data parallel"]),
    ]
    _, (tensor, data) = (there for _, there in found.by_count)
    assert (tensor.suffers, tensor.hue) == ("oversubscribed", 1)
    assert (data.value, data.best) == ("200", True)
    assert [tensor.percent, data.percent, *(data.span or ())] == pytest.approx([20, 80, 60, 100])
    assert found.reference_percent == pytest.approx(40)


def test_of_many_cases_the_chart_has_the_fastest_and_counts_the_rest() -> None:
    cases = [saved_case(gpus, speed=float(gpus)) for gpus in range(1, MOST_BARS + 4)]
    found = bars(one_group(*cases))
    assert found.left_out == 3
    assert found.by_count[0][0] == "4 devices"


def test_the_end_of_a_session_is_the_answer_and_what_to_know_before_believing_it() -> None:
    assert closing_lines(find([saved_case(), saved_case(2, speed=150.0)])) == (
        "Data parallel on 2 devices is fastest: 150 tokens/s, 1.50× one device",
        "one launch each",
    )
    disturbed = closing_lines(find([saved_case(2, marks=["swapped"]), saved_case(2, TP)]))
    assert disturbed[0].startswith("No answer")
    assert disturbed[1].startswith("Free memory")


def test_of_several_workloads_the_end_of_a_session_has_two_lines() -> None:
    cases = [saved_case(model=model, saved_at=f"2026-11-0{day}") for day, model in enumerate("abc", 1)]
    first, second = closing_lines(find(cases))
    assert first.startswith("c · float32")
    assert second.endswith("; 1 more workload in the table")
