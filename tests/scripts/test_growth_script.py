"""The growth of throughput: which points are measured, and what the machine's limits would give at them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts.figures import Figures
from scripts.growth import run
from scripts.growth.limit import decode_flops, limit_tokens_per_s
from scripts.growth.picture import draw, save
from scripts.growth.points import FACTORS, MIDDLE, Point, along, points
from scripts.growth.results import Measured, Results, Setting, read_results
from scripts.growth.table import tables
from scripts.results_file import continued, write_results

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.presets import GPT2

SIZE = GPT2.config.dimensions
SETTING = Setting("gpt2", "float32", 2)
FIGURES = Figures(
    engine="native", layout="dp1pp1tp1", oversubscribed=False, generated_tokens=256, warmup_rounds=1,
    rounds_s=((3.0, 3.0), (4.0, 4.0)), prefill_s=1.0, decode_s=2.5, mfu=0.8, mbu=0.5,
    flops_per_s=200e9, read_bytes_per_s=30e9, collectives_per_step=0, hops_per_step=0, marks=(),
)  # fmt: skip


def measured(*each: Point) -> Results:
    entries = tuple(Measured(point, "2026-11-21T00:00:00+00:00", 0.1, FIGURES) for point in each)
    return Results(SETTING, {"cpu": "made", "cores": 2, "torch": "2"}, entries)


def test_each_factor_is_changed_on_its_own_around_one_point() -> None:
    found = list(points())
    assert len(found) == len(set(found)) == 16
    for factor in FACTORS:
        assert MIDDLE in along(factor)
        assert {replace(point, **{factor: 1}) for point in along(factor)} == {replace(MIDDLE, **{factor: 1})}


def test_every_point_fits_the_context_of_gpt2() -> None:
    assert max(point.prompt_tokens + point.new_tokens for point in points()) == SIZE.positions


def test_the_second_token_of_gpt2_takes_two_operations_a_weight_and_its_attention() -> None:
    """By hand: 12 layers of 7,077,888 weights and 4 x 768 for each of 11 tokens, a head of 50,257 x 768."""
    assert decode_flops(SIZE, 10, 2) == 12 * (2 * 7_077_888 + 4 * 768 * 11) + 2 * 50_257 * 768


@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 64))
def test_decoding_in_two_parts_takes_the_operations_of_both(prompt: int, first: int, second: int) -> None:
    parts = decode_flops(SIZE, prompt, first) + decode_flops(SIZE, prompt + first - 1, second)
    assert decode_flops(SIZE, prompt, first + second - 1) == parts


def test_a_case_at_its_limits_is_as_fast_as_they_allow() -> None:
    perfect = replace(FIGURES, rounds_s=((3.5,),), mfu=1.0, mbu=1.0, flops_per_s=1e15)
    assert limit_tokens_per_s(SIZE, MIDDLE, perfect) == pytest.approx(perfect.tokens_per_s)


def test_what_is_lost_of_the_limits_is_what_the_limit_lies_above() -> None:
    """By hand: 0.8 of a second for the prefill, 1.25 for reading."""
    assert limit_tokens_per_s(SIZE, MIDDLE, FIGURES) == pytest.approx(256 / (0.8 + 1.25))


def test_a_large_batch_is_bound_by_its_operations_instead() -> None:
    large = replace(MIDDLE, batch_size=64)
    computing_s = 64 * decode_flops(SIZE, 64, 64) / 200e9
    assert computing_s > 1.25
    assert limit_tokens_per_s(SIZE, large, FIGURES) == pytest.approx(256 / (0.8 + computing_s))


def test_a_single_token_is_limited_by_its_prefill_alone() -> None:
    single = replace(FIGURES, decode_s=0.0, mbu=None)
    point = replace(MIDDLE, new_tokens=1)
    assert limit_tokens_per_s(SIZE, point, single) == pytest.approx(256 / 0.8)


@pytest.mark.parametrize(
    "changed",
    [
        {"mfu": None},
        {"mbu": None},
        {"flops_per_s": None},
        {"oversubscribed": True},
    ],
)
def test_without_a_limit_measured_on_a_core_for_each_rank_there_is_none(
    changed: dict[str, bool | None],
) -> None:
    figures = replace(FIGURES, **changed)  # type: ignore[arg-type]
    assert limit_tokens_per_s(SIZE, MIDDLE, figures) is None


def test_a_table_has_the_points_of_its_factor_that_were_measured() -> None:
    batch, prompt, *_ = tables(measured(MIDDLE, Point(batch_size=1))).split("\n\n")
    assert [line.split("|")[1].strip() for line in batch.splitlines()[2:]] == ["1", "4"]
    assert [cell.strip() for cell in prompt.splitlines()[2].split("|")[1:-1]] == [
        *("64", "73.1", "124.9", "59%", ""),
    ]


def test_what_a_file_holds_is_what_was_written(tmp_path: Path) -> None:
    results = measured(MIDDLE)
    write_results(tmp_path / "file", results)
    assert read_results(tmp_path / "file") == results
    with pytest.raises(UsageError, match="is another"):
        continued(tmp_path / "file", Results(replace(SETTING, launches=3), results.machine), read_results)


def test_a_run_goes_on_with_the_points_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    asked: list[Point] = []

    def measure(point: Point, setting: Setting) -> Measured:
        asked.append(point)
        assert setting == SETTING
        return measured(point).measured[0]

    monkeypatch.setattr(run, "measure", measure)
    for arguments in (["--only", "ranks 3"], ["--only", "ranks"], []):
        monkeypatch.setattr("sys.argv", ["run", "--output", str(file), *arguments])
        run.main()
    assert asked[0] == Point(ranks=3)
    assert sorted(map(str, asked)) == sorted(map(str, points()))
    assert len(json.loads(file.read_text())["measured"]) == 16
    monkeypatch.setattr("sys.argv", ["run", "--table", str(file)])
    run.main()
    assert "| prompt tokens" in capsys.readouterr().out


def test_the_picture_has_a_panel_for_each_factor_with_its_limit(tmp_path: Path) -> None:
    figure = draw(measured(*points()))
    panels = {axes.get_xlabel().partition(" (")[0]: axes for axes in figure.axes}
    assert list(panels) == ["batch size", "prompt tokens", "new tokens", "ranks"]
    for axes, factor in zip(panels.values(), FACTORS, strict=True):
        limit = axes.get_lines()[0]
        assert limit.get_label() == "limit"
        assert np.asarray(limit.get_xdata()).tolist() == list(FACTORS[factor])
    save(figure, tmp_path / "pictures" / "growth.svg")
    assert "<svg" in (tmp_path / "pictures" / "growth.svg").read_text()


def test_the_document_shows_the_committed_figures() -> None:
    root = Path(__file__).parents[2]
    results = read_results(root / "scripts/results/growth_cpu.json")
    assert not results.missing(points())
    assert tables(results) in (root / "docs/performance.md").read_text()
