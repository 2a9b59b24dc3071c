"""Live sessions: what of them is written down, and the repository of a planted slowdown."""

import subprocess
from pathlib import Path

import pytest
from scripts.calibration.live import Live, Session, Setting, read_live, repository, summary
from scripts.results_file import write_results

from pytest_gpt_dist.errors import UsageError

SESSION = Session("2026-12-01T12:00:00+00:00", 0.5, 12.0, "regressed", 0.1, 0.05, second_look=True, why="")
LIVE = Live(
    Setting("stored", 0.0),
    {"cpu": "made up", "cores": 2},
    (
        Session("2026-12-01T11:59:00+00:00", 0.5, 10.0, "no-baseline", None, None, second_look=False, why=""),
        SESSION,
        Session("2026-12-01T12:01:00+00:00", 0.5, 14.0, "unchanged", 0.0, 0.05, second_look=False, why=""),
    ),
)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_results(tmp_path / "live.json", LIVE)
    assert read_live(tmp_path / "live.json") == LIVE


def test_another_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "live.json").write_text("[]")
    with pytest.raises(UsageError, match=r"live\.json: no file of sessions"):
        read_live(tmp_path / "live.json")


def test_the_summary_counts_alarms_among_the_sessions_that_compared() -> None:
    assert summary(LIVE).startswith("1 of 2 judged sessions regressed (9% to 91%); 1 regressed, 1 unchanged;")


def test_the_working_tree_alone_has_the_slower_engine(tmp_path: Path) -> None:
    repository(tmp_path, 0.1)
    committed = subprocess.check_output(["git", "show", "HEAD:own_engine.py"], cwd=tmp_path, text=True)
    assert "share" not in committed
    assert "share = 0.1" in (tmp_path / "own_engine.py").read_text()
