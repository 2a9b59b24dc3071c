"""Reading saved sessions."""

import json
from pathlib import Path

import pytest

from pytest_gpt_dist.compare.baselines import (
    NEWEST_SESSIONS,
    MeasuredCase,
    judge_session,
    read_baselines,
    read_session,
)
from pytest_gpt_dist.compare.verdict import Verdict


def save(path: Path, saved_at: str, **seconds: float) -> None:
    """A session that measured cases of those names."""
    benchmarks = [
        {"fullname": name, "extra_info": {"fingerprint": {}, "launches": [[second]]}}
        for name, second in seconds.items()
    ]
    path.write_text(json.dumps({"datetime": saved_at, "benchmarks": benchmarks}))


def judge(folder: Path, name: str, second: float) -> Verdict:
    """The verdict on a case of that name against all that is below a folder."""
    (verdict,) = judge_session(
        [MeasuredCase(name, {}, (second,))], read_baselines(folder).cases, {name: 0.02}
    )
    return verdict


def test_a_case_that_regressed_is_no_baseline_for_the_next_session(tmp_path: Path) -> None:
    info = {"fingerprint": {}, "launches": [[1.0]]}
    saved = {
        "benchmarks": [{"fullname": name, "extra_info": info} for name in ("slow", "fine")],
        "gpt_dist": {
            "verdicts": [{"case": "slow", "kind": "regressed"}, {"case": "fine", "kind": "unchanged"}]
        },
    }
    path = tmp_path / "0001.json"
    path.write_text(json.dumps(saved))
    assert [case.name for case in read_baselines(tmp_path).cases] == ["fine"]
    assert [case.name for case in read_session(path)] == ["slow", "fine"]


def test_other_peoples_benchmarks_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "0001.json"
    path.write_text(json.dumps({"benchmarks": [{"fullname": "theirs", "extra_info": {}}]}))
    assert read_session(path) == ()


def test_the_newest_sessions_by_their_saved_time_are_the_baseline(tmp_path: Path) -> None:
    save(tmp_path / "9999_copied_last.json", "2026-01-01T03:00:00+00:00", case=50.0)
    for number in range(NEWEST_SESSIONS):
        saved_at = f"2026-02-{1 + number:02}T03:00:00.5+00:00"
        save(tmp_path / f"{number:04}_nightly.json", saved_at, case=1.0 + number * 1e-6)
    verdict = judge(tmp_path, "case", 1.0)
    assert verdict.used == NEWEST_SESSIONS
    assert verdict.before_s == pytest.approx(1.0, rel=1e-3)


def test_a_session_that_was_saved_twice_counts_once(tmp_path: Path) -> None:
    """By autosave and as --benchmark-json, a moment apart."""
    save(tmp_path / "0001_auto.json", "2026-02-01T03:00:00.1+00:00", case=1.0)
    save(tmp_path / "named.json", "2026-02-01T03:00:00.2+00:00", case=1.0)
    assert judge(tmp_path, "case", 1.0).used == 1


def test_a_case_that_the_newest_session_left_out_is_found_in_an_older_one(tmp_path: Path) -> None:
    save(tmp_path / "0001.json", "2026-02-01T03:00:00+00:00", rare=2.0, frequent=1.0)
    save(tmp_path / "0002.json", "2026-02-02T03:00:00+00:00", frequent=1.01)
    assert judge(tmp_path, "rare", 2.0).used == 1
    assert judge(tmp_path, "frequent", 1.0).used == 2
