"""Sessions of two revisions in turns."""

from pathlib import Path

import pytest
from scripts.suite_before import Results, Setting, Suite, ratios, read_results, table

SUITES = tuple(
    Suite(side, "2026-12-01", 0.0, wall_s, 2 * wall_s)
    for side, wall_s in (("before", 10.0), ("after", 9.0), ("after", 12.0), ("before", 8.0))
)
RESULTS = Results(Setting("a", "b"), {"cpu": "any"}, SUITES)
COMMITTED = Path(__file__).parents[2] / "scripts" / "results" / "suite_before_cpu.json"


def test_ratios_are_those_of_pairs_whichever_side_began() -> None:
    assert ratios(SUITES, "wall_s") == pytest.approx([0.9, 1.5])


def test_the_table_has_medians_and_ranges() -> None:
    wall = table(RESULTS).splitlines()[2]
    assert "9.0 (8.0 to 10.0)" in wall
    assert "10.5 (9.0 to 12.0)" in wall
    assert "1.20 (0.90 to 1.50)" in wall


def test_the_document_has_the_table_of_the_committed_results() -> None:
    document = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert table(read_results(COMMITTED)) in document
