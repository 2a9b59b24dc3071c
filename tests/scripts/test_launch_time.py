"""How long launches take: what the tables say, and that ranks load what they are asked to."""

from dataclasses import replace
from pathlib import Path

import pytest
from scripts.launch_time import (
    LAYOUTS,
    Launches,
    Results,
    Session,
    Setting,
    Start,
    launch,
    launches_table,
    measure_launches,
    read_results,
    starts_table,
    summary,
)
from scripts.results_file import write_results

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines import ModelSource
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout

TINY = DecoderConfig.from_hf(
    {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 2, "n_positions": 7, "vocab_size": 101},
    "tiny",
)
SOURCE = ModelSource(TINY, None, 0, "bfloat16")


def session(first_s: float, *following_s: float) -> Session:
    launches = tuple(Launches(layout.id, 9.0, first_s, following_s) for layout in LAYOUTS)
    return Session("2026-11-21T00:00:00+00:00", 0.1, (Start(2, "cold", first_s / 10),), launches)


RESULTS = Results(
    Setting("gpt2-xl", "bfloat16", 2), {"cpu": "made"}, (session(10.0, 5.0, 4.0), session(12.0, 6.0, 7.0))
)


def test_a_row_has_the_median_and_the_range_of_all_sessions() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in launches_table(RESULTS).splitlines()]
    assert rows[2:] == [
        [layout.id, "9.0 (9.0 to 9.0)", "11.0 (10.0 to 12.0)", "5.5 (4.0 to 7.0)"] for layout in LAYOUTS
    ]
    assert "| 2       | cold    | 1.10 (1.00 to 1.20) |" in starts_table(RESULTS)


def test_the_goal_is_reached_if_no_launch_takes_longer() -> None:
    assert summary(RESULTS).splitlines()[0] == (
        "dp1pp1tp2: launches that follow take 50% of the first (sessions: 2); the goal of 20 s is reached"
    )
    slow = replace(RESULTS, sessions=(session(21.0, 5.0),))
    assert "the goal of 20 s is missed" in summary(slow)


def test_results_are_read_back_from_their_file(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", RESULTS)
    assert read_results(tmp_path / "results.json") == RESULTS
    (tmp_path / "results.json").write_text('{"unit": "s"}')
    with pytest.raises(UsageError, match="no results of this script"):
        read_results(tmp_path / "results.json")


def test_each_launch_is_measured_and_the_first_keeps_what_the_others_read(tmp_path: Path) -> None:
    found = measure_launches(SOURCE, Layout(pp=2), following=1)
    assert (found.layout, len(found.following_s)) == ("dp1pp2tp1", 1)
    assert min(found.alone_s, found.first_s, *found.following_s) > 0
    launch(replace(SOURCE, weight_cache=str(tmp_path)), Layout(tp=2))
    assert any(tmp_path.iterdir())


def test_the_document_shows_the_committed_figures() -> None:
    root = Path(__file__).parents[2]
    results = read_results(root / "scripts/results/launch_time.json")
    document = (root / "docs/performance.md").read_text()
    assert all(show(results) in document for show in (starts_table, launches_table, summary))
