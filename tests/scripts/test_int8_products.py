"""The products by which int8 weights are judged, and the table that shows them."""

from pathlib import Path

from scripts.int8_products import Measured, Results, read_results, shapes, table
from scripts.results_file import write_results

from pytest_gpt_dist.model.presets import GPT2

RESULTS = Results(
    {"cpu": "made"}, "0.1", (Measured(1, 4, {"bfloat16, packed": 10.0, "torchao": 40.0, "compiled": 8.0}),)
)


def test_the_products_are_those_of_all_weights_but_tables_of_positions() -> None:
    # 12 h^2 a layer, and the head: https://arxiv.org/abs/2001.08361, table 1.
    products = list(shapes(GPT2.config.dimensions))
    assert sum(outputs * inputs for outputs, inputs in products) == 12 * 12 * 768**2 + 50257 * 768
    assert len(products) == 12 * 4 + 1


def test_a_way_that_takes_longer_has_a_factor_below_one() -> None:
    row = table(RESULTS).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "1",
        "4",
        "10.0",
        "40.0 (0.25×)",
        "8.0 (1.25×)",
    ]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_results(tmp_path / "file.json", RESULTS)
    assert read_results(tmp_path / "file.json") == RESULTS


def test_the_document_shows_the_committed_figures() -> None:
    root = Path(__file__).parents[2]
    results = read_results(root / "scripts/results/int8_products_cpu.json")
    assert table(results) in (root / "docs/performance.md").read_text()
