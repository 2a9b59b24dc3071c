"""The committed errors of every strategy, and the table that shows them."""

from pathlib import Path

from scripts.training_errors import FAMILIES, read_results, subjects, table

from pytest_gpt_dist.training.exactness.tolerance import bounds

ROOT = Path(__file__).parents[2]
RESULTS = read_results(ROOT / "scripts/results/training_errors_cpu.json")
ALLOWED = bounds("float64")


def test_every_strategy_was_measured_at_each_of_its_counts_with_each_model() -> None:
    expected = {(each.strategy, each.ranks, family) for each in subjects() for family in FAMILIES}
    assert {(each.strategy, each.ranks, each.model) for each in RESULTS.errors} == expected


def test_every_error_is_within_the_bounds_by_orders_of_magnitude() -> None:
    for each in RESULTS.errors:
        assert each.refused is None
        assert None not in (each.gradient, each.loss, each.parameter)
        assert (each.gradient or 0) < ALLOWED.gradient / 1e3
        assert (each.loss or 0) < ALLOWED.loss / 1e3
        assert (each.parameter or 0) < (ALLOWED.parameters or 0)


def test_the_document_shows_the_committed_errors() -> None:
    assert table(RESULTS) in (ROOT / "docs/how-to/training.md").read_text()
