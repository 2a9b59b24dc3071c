"""What a session costs besides its rounds."""

from dataclasses import replace
from pathlib import Path

import pytest
from scripts.figures import Figures
from scripts.session import run_session
from scripts.suite_cost import CaseCost, SessionCost, case_cost, read_sessions, summary, table

from patience import HANG_S

FIGURES = Figures(
    engine="native", layout="dp1pp1tp1", oversubscribed=False, generated_tokens=256, warmup_rounds=2,
    rounds_s=((1.0, 2.0), (3.0,)), prefill_s=1.0, decode_s=1.0, mfu=None, mbu=None,
    flops_per_s=None, read_bytes_per_s=None, collectives_per_step=0, hops_per_step=0, marks=(),
)  # fmt: skip
SESSION = SessionCost(
    "2026-11-21T00:00:00+00:00", 0.1, 30.0, (CaseCost("one", 12.0, 6.0, 2.0), CaseCost("two", 8.0, 4.0, 1.0))
)


def test_each_launch_has_its_own_warm_up() -> None:
    cost = case_cost("one", 20.0, FIGURES)
    assert (cost.rounds_s, cost.warmup_s, cost.rest_s) == (6, 8, 6)


def test_the_cost_is_the_wall_time_over_the_time_inside_rounds() -> None:
    assert SESSION.cost == pytest.approx(3)
    assert SESSION.outside_s == pytest.approx(10)
    slower = replace(SESSION, wall_s=50.0)
    assert summary([SESSION, slower]) == "wall time ÷ time inside rounds: 4.00, 3.00 to 5.00 (sessions: 2)"


def test_the_rows_of_the_table_add_up_to_the_session() -> None:
    rows = [
        [float(cell) for cell in line.split("|")[2:-1]] for line in table([SESSION, SESSION]).splitlines()[2:]
    ]
    *parts, whole = rows
    assert len(parts) == 3
    assert [sum(column) for column in zip(*parts, strict=True)] == whole == [30, 10, 3, 17]


def test_a_session_that_fails_ends_the_script_with_what_pytest_said() -> None:
    with pytest.raises(SystemExit, match=r"(?s)pytest ended with 4.*--gpt-batch-size.*at least 1"):
        run_session(["--gpt-batch-size=0"], deadline_s=HANG_S)


def test_the_document_shows_the_committed_figures() -> None:
    root = Path(__file__).parents[2]
    sessions = read_sessions(root / "scripts/results/suite_cost_cpu.json")
    document = (root / "docs/performance.md").read_text()
    assert table(sessions) in document
    assert summary(sessions) in document
