"""The charts: what they show, what they say about it, and that any case can be drawn."""

import struct
from collections.abc import Callable
from dataclasses import astuple
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from PIL import Image

from pytest_gpt_dist.report.charts.canvas import (
    DARK,
    LIGHT,
    WIDTH_IN,
    Chart,
    Panel,
    Theme,
    cut,
    render,
    render_key,
)
from pytest_gpt_dist.report.charts.charts import (
    avg_throughput_per_gpu,
    charts,
    latency_comparison,
    latency_distribution,
    memory_per_rank,
    parallel_efficiency,
    throughput_comparison,
)
from pytest_gpt_dist.report.charts.legend import swatches
from pytest_gpt_dist.report.charts.look import Look, look
from pytest_gpt_dist.report.charts.scaling import scaling_curves
from pytest_gpt_dist.report.charts.time_lost import lost_efficiency
from pytest_gpt_dist.report.findings import Group, find
from saved_cases import ALONE, lost, saved_case

LAUNCHES = [[0.01, 0.01], [0.008], [0.0125]]


def group(**changes: Any) -> Group:
    """A case on one device, and some on several, one of them without an efficiency."""
    cases = [
        saved_case(**changes),
        saved_case(2, speed=170.0, **changes),
        saved_case(2, "tensor_data_hybrid", speed=60.0, **changes),
        saved_case(4, speed=200.0, **changes | {"efficiency": None, "oversubscribed": True}),
    ]
    (found,) = find(cases).groups
    return found


def latencies(group: Group) -> Chart:
    (chart,) = latency_comparison(group)
    return chart


def drawn(chart: Chart) -> list[Axes]:
    """The plots of a chart, each on a paper of its own."""
    plots = []
    for panel in chart.panels:
        axes = Figure().add_subplot()
        panel.draw(axes, LIGHT)
        plots.append(axes)
    return plots


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def bars(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]


def test_every_chart_has_its_file() -> None:
    assert [chart.name for chart in charts(group())] == [
        "throughput_comparison",
        "latency_comparison",
        "parallel_efficiency",
        "lost_efficiency",
        "avg_throughput_per_gpu",
        "scaling_curves",
        "memory_per_rank",
        "latency_distribution",
    ]


def test_every_chart_says_what_was_measured_where() -> None:
    for chart in charts(group()):
        assert "gpt2-mini · float32 · weak" in " ".join(chart.measured)
        assert "8 cores · gloo · torch 2.13.0 · Python 3.11.7 · 2026-11-01" in chart.measured


@pytest.mark.parametrize("make", [parallel_efficiency, scaling_curves])
def test_a_chart_of_scaling_says_its_reference(make: Callable[[Group], Chart]) -> None:
    assert "native on 1 device, 100.0 tokens/s (case of this session)" in " ".join(make(group()).caption)


def test_a_bar_is_as_long_as_its_figure() -> None:
    (axes,) = drawn(throughput_comparison(group()))
    assert bars(axes) == [100, 170, 60, 200]


def test_figures_stand_in_a_column_that_no_bar_or_mark_reaches() -> None:
    (axes,) = drawn(avg_throughput_per_gpu(group()))
    figures = [text for text in axes.texts if text.get_text() in ("85.0", "30.0")]
    assert [text.get_position()[0] for text in figures] == [1, 1]
    assert {text.get_horizontalalignment() for text in figures} == {"right"}
    assert axes.get_xlim()[1] > 1.05 * 100


def test_a_missing_figure_is_no_bar_but_its_reason() -> None:
    (axes,) = drawn(parallel_efficiency(group()))
    assert bars(axes) == pytest.approx([0.85, 0.3])
    assert "– oversubscribed: ranks share cores" in words(axes)


def test_a_latency_is_split_at_its_first_token() -> None:
    (axes,) = drawn(latencies(group()))
    assert bars(axes)[:2] == pytest.approx([400, 30])


def test_one_launch_has_no_error_bars_and_the_caption_says_so() -> None:
    chart = throughput_comparison(group())
    assert "No error bars: one launch a case." in chart.caption[0]
    assert not drawn(chart)[0].containers[4:]


def test_several_launches_have_a_line_from_the_slowest_to_the_fastest() -> None:
    chart = throughput_comparison(group(launches=LAUNCHES))
    assert "slowest to fastest of 3 launches, each by the mean of its rounds" in chart.caption[0]
    spans = [collection.get_paths()[0].get_extents() for collection in drawn(chart)[0].collections]
    assert [(span.x0, span.x1) for span in spans] == [pytest.approx((80, 125))] * 4


def test_the_mean_of_a_device_is_over_the_counts_that_all_strategies_have() -> None:
    chart = avg_throughput_per_gpu(group())
    (axes,) = drawn(chart)
    assert bars(axes) == pytest.approx([85, 30])
    assert words(axes)[:2] == ["pure_data_parallel", "tensor_data_hybrid"]
    assert "all strategies of an engine have (2)." in chart.caption[0]


def test_the_other_counts_stay_circles() -> None:
    (axes,) = drawn(avg_throughput_per_gpu(group()))
    circles = [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert circles == [pytest.approx([100, 85, 50]), pytest.approx([30])]


def test_strategies_without_a_count_in_common_have_circles_and_no_bar() -> None:
    (found,) = find([saved_case(), saved_case(2, "tensor_data_hybrid", speed=60.0)]).groups
    (axes,) = drawn(avg_throughput_per_gpu(found))
    assert bars(axes) == []
    assert words(axes).count("– no count in common") == len(axes.lines) == 2


def test_a_curve_has_markers_where_its_strategy_ran() -> None:
    (axes,) = drawn(scaling_curves(group()))
    curves = [line for line in axes.lines if line.get_markevery() is not None]
    marked = {len(np.asarray(line.get_xydata())): line.get_markevery() for line in curves}
    assert marked == {3: (0, 1), 2: (1, 1)}


def test_curves_begin_at_their_reference() -> None:
    (axes,) = drawn(scaling_curves(group()))
    curves = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
    assert [[0, 1], [1, 1.7], [2, 2]] in curves
    assert [[0, 1], [1, 0.6]] in curves


def test_a_case_without_a_speed_up_is_named_below_the_curves() -> None:
    found = find([saved_case(), saved_case(2, **ALONE)]).groups[0]
    named = "Not shown: 2gpu (no speed-up: fits on no device)."
    assert named in scaling_curves(found).caption


def test_a_latency_of_one_token_alone_says_so() -> None:
    found = find([saved_case(itl_s=None, tpot_s=None), saved_case(2, speed=170.0)]).groups[0]
    _, gaps = drawn(*latency_distribution(found))
    assert "– only one token" in words(gaps)


def test_without_any_time_between_tokens_there_is_no_plot_of_it_and_the_caption_says_why() -> None:
    (chart,) = latency_distribution(find([saved_case(itl_s=None, tpot_s=None)]).groups[0])
    assert len(drawn(chart)) == 1
    assert "No ITL: only one token." in chart.caption


def test_what_has_nothing_to_show_says_why() -> None:
    changes: dict[str, Any] = {"device": "cuda", "oversubscribed": True}
    cases = [
        saved_case(peak_memory_bytes=[None], **changes),
        saved_case(2, speed=170.0, peak_memory_bytes=[None, None], **changes | {"efficiency": None}),
    ]
    nothing = find(cases).groups[0]
    said = {chart.name: chart.why_empty for chart in charts(nothing) if chart.why_empty}
    assert said == {
        "parallel_efficiency": "oversubscribed: ranks share cores",
        "lost_efficiency": "not measured on GPUs",
        "memory_per_rank": "the system did not tell",
    }


def test_one_device_alone_has_no_charts_of_several() -> None:
    (found,) = find([saved_case()]).groups
    said = {chart.name: chart.why_empty for chart in charts(found) if chart.why_empty}
    assert said == dict.fromkeys(
        ("parallel_efficiency", "lost_efficiency", "scaling_curves"), "no case on several devices"
    )


def test_what_has_something_to_show_is_drawn() -> None:
    found = find([saved_case(), saved_case(2, speed=170.0, time_lost=lost(0.1))]).groups[0]
    assert not any(chart.why_empty for chart in charts(found))


def test_the_axis_of_efficiency_is_in_percent_and_goes_to_all_of_it() -> None:
    (axes,) = drawn(parallel_efficiency(group()))
    assert axes.get_xlim()[1] > 1
    assert axes.xaxis.get_major_formatter()(0.8) == "80%"


def test_an_efficiency_next_to_the_target_shows_on_which_side_it_is() -> None:
    (axes,) = drawn(parallel_efficiency(group(efficiency=0.797)))
    assert "79.7%" in words(axes)


def disturbed() -> Group:
    """Three cases, the last of which others disturbed."""
    marks = ["throttled: thermal", "throttled: power brake", "shared device: process 7"]
    cases = [saved_case(), saved_case(2, speed=170.0), saved_case(4, speed=200.0, marks=marks)]
    return find(cases).groups[0]


@pytest.mark.parametrize("make", [throughput_comparison, latencies, parallel_efficiency, memory_per_rank])
def test_a_disturbed_case_says_so_in_its_label(make: Callable[[Group], Chart]) -> None:
    (axes,) = drawn(make(disturbed()))
    assert "4gpu · throttled, shared device" in words(axes)
    assert "2gpu" in words(axes)


def test_a_name_gives_way_to_what_disturbed_its_case() -> None:
    name = f"bench.py::test_generate[{'x' * 60}-end]"
    (found,) = find([saved_case(), saved_case(2, test=name, marks=["swapped"], failed=True)]).groups
    (axes,) = drawn(throughput_comparison(found))
    assert any(word.endswith("-end · its test failed, swapped") and "…" in word for word in words(axes))


def test_a_disturbed_case_is_a_cross_among_circles() -> None:
    chart = avg_throughput_per_gpu(disturbed())
    (axes,) = drawn(chart)
    marks = {line.get_marker(): np.asarray(line.get_xdata()).tolist() for line in axes.lines}
    assert marks == {"o": pytest.approx([100, 85]), "X": pytest.approx([50])}
    assert [key.label for key in chart.legend(LIGHT)] == ["one device count", "disturbed"]


def test_a_disturbed_case_is_hollow_in_the_curves_and_the_caption_says_what_that_is() -> None:
    chart = scaling_curves(disturbed())
    (axes,) = drawn(chart)
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == LIGHT.paper]
    assert [np.asarray(line.get_xydata()).tolist() for line in hollow] == [[[2, 2]]]
    assert chart.caption[0].startswith("Hollow: ")


def test_series_of_several_engines_have_the_colour_of_their_strategy_and_nothing_else_in_common() -> None:
    engines = ("native", "transformers", "vllm")
    strategies = ("pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid", "full_model_parallel")
    cases = [
        saved_case(2, strategy, speed=90.0, engine=engine, test=f"b.py::test[{strategy}-{engine}]")
        for engine in engines
        for strategy in strategies
    ]
    (found,) = find(cases).groups
    seen = [look(found, series) for series in found.series]
    assert (
        len({(each.hue, each.marker) for each in seen})
        == len({(each.hue, each.hatch) for each in seen})
        == 12
    )
    assert len({each.hue for each in seen}) == 4
    (axes,) = drawn(throughput_comparison(found))
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches}) == 12


def test_64_series_look_different() -> None:
    looks = [Look(hue, pattern) for hue in range(8) for pattern in range(8)]
    assert len({(each.colour(LIGHT), each.marker) for each in looks}) == 64
    assert len({(each.colour(LIGHT), each.hatch) for each in looks}) == 64


def test_a_ninth_strategy_has_a_colour_again_and_another_marker() -> None:
    cases = [saved_case(2, f"dp{n}pp1tp1", test=f"b.py::test[{n}]") for n in range(9)]
    (found,) = find(cases).groups
    first, *_, last = [look(found, series) for series in found.series]
    assert first.hue == last.hue
    assert first.marker != last.marker


def test_lines_over_launches_stand_beside_each_other() -> None:
    for launches, apart in (([[0.01]], 1), (LAUNCHES, 2)):
        found = group(launches=launches)
        (axes,) = drawn(scaling_curves(found))
        curves = [line for line in axes.lines if line.get_markevery() is not None]
        ends = {round(line.get_transform().transform((1, 1))[0], 3) for line in curves}
        assert len(ends) == apart


def test_linear_goes_to_the_last_count_and_leaves_the_plot_there() -> None:
    (axes,) = drawn(scaling_curves(find([saved_case(), saved_case(8, speed=120.0)]).groups[0]))
    linear = np.asarray(axes.lines[0].get_xydata())
    assert linear[-1].tolist() == [3, 8]
    assert axes.get_ylim()[1] < 8


@pytest.mark.parametrize("make", [latencies, memory_per_rank, avg_throughput_per_gpu])
def test_charts_without_error_bars_say_so(make: Callable[[Group], Chart]) -> None:
    assert "No error bars: one launch a case." in make(group()).caption
    assert "No error bars: all launches together." in make(group(launches=LAUNCHES)).caption


def losing(shares: dict[str, float | None], **changes: Any) -> Chart:
    """The losses of a case on two devices, beside one on a single device."""
    (found,) = find([saved_case(**changes), saved_case(2, speed=60.0, time_lost=shares, **changes)]).groups
    return lost_efficiency(found)


def test_a_stack_is_the_efficiency_and_each_kind_of_loss() -> None:
    chart = losing(lost(0.5, 0.1, 0.02, 0.08))
    (axes,) = drawn(chart)
    assert bars(axes) == pytest.approx([0.3, 0.5, 0.1, 0.02, 0.08])
    begins = [patch.get_x() for patch in axes.patches]  # type: ignore[attr-defined]
    assert begins == pytest.approx([0, 0.3, 0.8, 0.9, 0.92])
    assert axes.get_xlim()[1] == pytest.approx(1)
    assert [key.label for key in chart.legend(LIGHT)] == [
        "efficiency",
        "communication",
        "bubble",
        "imbalance",
        "other",
    ]


def test_shares_that_are_wide_enough_for_it_have_their_figure() -> None:
    (axes,) = drawn(losing(lost(0.5, 0.041, 0.039, 0.12)))
    assert [word for word in words(axes) if word.endswith("%")] == ["30%", "50%", "4%", "12%"]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_kinds_of_loss_are_told_apart_without_colours(theme: Theme) -> None:
    keys = losing(lost(0.5, 0.1, 0.02, 0.08)).legend(theme)
    assert len({key.artist.get_hatch() for key in keys}) == len(keys)  # type: ignore[attr-defined]


def test_one_device_loses_nothing_to_others_and_has_no_stack() -> None:
    (axes,) = drawn(losing(lost(0.5)))
    assert "2gpu" in words(axes)
    assert "1gpu" not in words(axes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "not measured"),
        ({"device": "cuda"}, "not measured on GPUs"),
        ({"collectives_per_step": None}, "the engine communicates by itself"),
    ],
)
def test_losses_that_are_not_known_are_no_stack_but_the_reason(changes: dict[str, Any], why: str) -> None:
    chart = losing(lost(0.5) | {"bubble": None}, **changes)
    (axes,) = drawn(chart)
    assert bars(axes) == []
    assert f"– {why}" in words(axes)
    assert chart.legend(LIGHT) == []


def test_without_an_efficiency_the_rest_of_a_stack_is_open_and_the_caption_says_why() -> None:
    chart = losing(lost(0.5, 0.1), efficiency=None, oversubscribed=True)
    (axes,) = drawn(chart)
    assert bars(axes) == pytest.approx([0.4, 0.5, 0.1, 0])
    assert axes.patches[0].get_facecolor() == to_rgba(LIGHT.paper)
    assert "not divided" in words(axes)
    assert "40%" not in words(axes)
    assert chart.legend(LIGHT)[-1].label == "not divided"
    assert any("no efficiency (oversubscribed: ranks share cores)" in part for part in chart.caption)


def test_a_share_below_nothing_is_not_drawn_and_the_axis_ends_where_the_stack_does() -> None:
    chart = losing(lost(0.2, 0.0, -1e-18, -0.3), efficiency=1.1)
    (axes,) = drawn(chart)
    assert bars(axes) == pytest.approx([1.1, 0.2, 0, 0, 0])
    assert axes.get_xlim()[1] == pytest.approx(1.3)
    assert any(part.startswith("Beyond 100%") for part in chart.caption)
    assert not any(part.startswith("Beyond 100%") for part in losing(lost(0.2, other=0.0)).caption)


def test_names_differ_at_their_ends_so_they_are_cut_in_the_middle() -> None:
    assert cut("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"
    assert cut("short") == "short"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_picture_is_narrow_enough_for_a_phone(theme: Theme) -> None:
    for png in astuple(throughput_comparison(group()).draw(theme)):
        width, _ = struct.unpack(">II", png[16:24])
        assert png.startswith(b"\x89PNG")
        assert width == WIDTH_IN * 160


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_few_colours_are_kept_and_those_of_areas_are_exact(theme: Theme) -> None:
    png = throughput_comparison(group()).draw(theme).whole
    picture = Image.open(BytesIO(png))
    assert picture.mode == "P"
    found = {colour for _, colour in picture.convert("RGB").getcolors() or ()}
    areas = (theme.paper, theme.series(0), theme.series(1), theme.text)
    assert {tuple(round(255 * part) for part in to_rgb(area)) for area in areas} <= found


def test_the_picture_for_the_page_is_the_whole_one_without_title_legend_and_caption() -> None:
    drawn_ = throughput_comparison(group()).draw(LIGHT)
    whole, plots = (np.asarray(Image.open(BytesIO(png)).convert("L")) for png in astuple(drawn_))
    start = next(row for row in range(len(whole)) if (whole[row : row + len(plots)] == plots).all())
    for outside in (whole[:start], whole[start + len(plots) :]):
        assert (outside < 200).any()
        assert len(outside) > 20


def test_a_key_of_the_legend_of_a_page_has_the_colour_of_its_series() -> None:
    (key, *_) = throughput_comparison(group()).legend(LIGHT)
    picture = Image.open(BytesIO(render_key(key.artist, LIGHT))).convert("RGB")
    areas = {colour for count, colour in picture.getcolors() or () if count > 50}
    assert tuple(round(255 * part) for part in to_rgb(LIGHT.series(0))) in areas


def test_the_legend_of_a_page_has_each_label_of_all_groups_once() -> None:
    cases = [
        saved_case(gpus, strategy, model=model, saved_at=f"2026-11-0{day}")
        for day, model, strategy in ((2, "a", "tensor_data_hybrid"), (1, "b", "pipeline_data_hybrid"))
        for gpus in (1, 2)
    ]
    found = find(cases).groups
    legend = swatches([(throughput_comparison(each), parallel_efficiency(each)) for each in found])
    assert [swatch.label for swatch in legend] == [
        "tensor_data_hybrid",
        "target: 80%",
        "pipeline_data_hybrid",
    ]
    assert legend[0].meaning.startswith("each layer over several devices")
    assert legend[1].meaning == "in “Parallel efficiency”"
    looks = [look(each, series) for each in found for series in each.series]
    assert len(set(looks)) == 2


def test_an_efficiency_beyond_the_whole_has_its_reason_below_the_picture() -> None:
    (beyond,) = find([saved_case(), saved_case(2, speed=230.0)]).groups
    assert any("beyond 100%" in line.lower() for line in parallel_efficiency(beyond).caption)
    assert not any("beyond" in line.lower() for line in parallel_efficiency(group()).caption)


def test_the_same_figures_give_the_same_picture() -> None:
    assert throughput_comparison(group()).draw(LIGHT) == throughput_comparison(group()).draw(LIGHT)


def test_any_name_can_be_drawn() -> None:
    name = r"_x $\frac{1}{$ 模型 \undefined " + "long" * 40
    cases = [
        saved_case(strategy=name, model=name, device_name=name, test=name, launches=LAUNCHES),
        saved_case(
            2, strategy=name, model=name, device_name=name, test=f"{name}2", time_lost=lost(0.2), **ALONE
        ),
    ]
    (found,) = find(cases).groups
    for chart in (throughput_comparison(found), scaling_curves(found), lost_efficiency(found)):
        assert chart.draw(LIGHT).whole


def test_a_picture_of_any_height_can_be_drawn() -> None:
    png = render("Many", (), (Panel(900.0, lambda axes, theme: None),), lambda theme: (), LIGHT).whole
    _, height = struct.unpack(">II", png[16:24])
    assert height <= 2**15


def test_percentiles_out_of_order_are_drawn() -> None:
    swapped = {"mean": 0.4, "p50": 0.5, "p95": 0.45, "p99": 0.3}
    (_, axes) = drawn(*latency_distribution(group(itl_s=swapped)))
    assert "500.0 / 450.0 / 300.0" in words(axes)
