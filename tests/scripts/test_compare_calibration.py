"""The committed calibration: its goals, and that the documentation shows it."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "scripts/calibration/synthetic.json").read_text())
RATES: list[dict[str, Any]] = RESULT["rates"]


def test_every_goal_was_reached_over_thousands_of_suites() -> None:
    goals = {(rate["rule"], rate["slowdown"], rate["goal"]) for rate in RATES if rate["reached"]}
    assert not [rate for rate in RATES if rate["reached"] is False]
    assert goals >= {
        ("paired", "none", "at most 1%"),
        ("paired", "one by 3%", "at least 90%"),
        ("paired", "one by 5%", "at least 99%"),
        ("stored, 10 sessions", "none", "at most 5%"),
    }
    assert RESULT["suites"] >= 5000


def test_the_documentation_shows_the_committed_figures() -> None:
    page = (ROOT / "docs/verdicts.md").read_text()
    rows = {
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if line[:1] == "|"
    }
    reached = {True: "yes", False: "NO", None: "-"}
    for rate in RATES:
        figures = (
            f"{rate['rate']:.2%}",
            f"{rate['low']:.2%} to {rate['high']:.2%}",
            rate["goal"] or "-",
            reached[rate["reached"]],
        )
        assert (rate["rule"], rate["noise"], rate["slowdown"], rate["counted"], *figures) in rows
