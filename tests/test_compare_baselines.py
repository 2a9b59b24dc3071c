"""Reading saved sessions."""

import json
from pathlib import Path

from pytest_gpt_dist.compare.baselines import read_baselines, read_session


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
