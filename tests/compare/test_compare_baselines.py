"""Reading saved sessions."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.compare.baselines import NEWEST_SESSIONS, read_baselines, read_cases
from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.session_verdicts import judge_session
from pytest_gpt_dist.compare.sessions import judge_stored
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
    now = MeasuredCase(name, {}, SessionTimes.of([second]))
    (verdict,) = judge_session([now], read_baselines([folder], [now]).cases, {name: 0.02})
    return verdict


def write(path: Path, *entries: object, **session: Any) -> Path:
    """A file with those entries."""
    path.write_text(json.dumps({"benchmarks": entries, **session}))
    return path


def entry(name: object = "case", **info: Any) -> dict[str, Any]:
    """A case as it is saved; ``info`` is damage done to it."""
    return {"fullname": name, "extra_info": {"fingerprint": {}, "launches": [[1.0]]} | info}


def nested(times: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(times):
        value = [value]
    return value


def test_a_case_that_regressed_is_no_baseline_for_the_next_session(tmp_path: Path) -> None:
    verdicts = [{"case": "slow", "kind": "regressed"}, {"case": "fine", "kind": "unchanged"}]
    path = write(tmp_path / "1.json", entry("slow"), entry("fine"), gpt_dist={"verdicts": verdicts})
    assert [case.name for case in read_baselines([tmp_path], []).cases] == ["fine"]
    assert [case.name for case in read_cases(path).cases] == ["slow", "fine"]


@pytest.mark.parametrize("verdicts", [7, {}, [7, {"case": []}, {"kind": "regressed"}, {"case": "case"}]])
def test_verdicts_that_cannot_be_read_cost_no_case(tmp_path: Path, verdicts: object) -> None:
    found = read_cases(write(tmp_path / "1.json", entry(), gpt_dist={"verdicts": verdicts}))
    assert [case.name for case in found.cases] == ["case"]
    assert found.skipped == (f"skipped: verdicts that name no case, in {tmp_path / '1.json'}",)


@pytest.mark.parametrize(
    "foreign",
    [
        {"fullname": "theirs", "extra_info": {}},
        {"fullname": "theirs", "extra_info": {"fingerprint": "a1b2"}},
        {"fullname": "theirs", "extra_info": {"fingerprint": {"host": "a"}}},
        {"fullname": "theirs", "extra_info": ["fingerprint", "launches"]},
        {"fullname": "theirs"},
        {},
        7,
        None,
    ],
)
def test_other_peoples_benchmarks_are_passed_over(tmp_path: Path, foreign: object) -> None:
    found = read_cases(write(tmp_path / "1.json", entry("first"), foreign, entry("last")))
    assert [case.name for case in found.cases] == ["first", "last"]
    assert found.skipped == ()


@pytest.mark.parametrize(
    "damage",
    [
        {"launches": [[10**400]]},
        {"launches": [[1e-320]]},
        {"launches": [[float("nan")]]},
        {"launches": [[True]]},
        {"launches": [[]]},
        {"launches": []},
        {"launches": None},
        {"fingerprint": "a1b2"},
        {"fingerprint": {"model": nested(100)}},
        {"marks": 7},
        {"marks": [None]},
    ],
)
def test_a_damaged_case_costs_itself_and_is_said(tmp_path: Path, damage: dict[str, Any]) -> None:
    found = read_cases(write(tmp_path / "1.json", entry("first"), entry("bad", **damage), entry("last")))
    assert [case.name for case in found.cases] == ["first", "last"]
    (line,) = found.skipped
    assert line.startswith("left out: not usable (")
    assert line.endswith(f"): bad in {tmp_path / '1.json'}")
    assert len(line) < 300 + len(str(tmp_path))


def test_a_case_without_a_name_costs_itself(tmp_path: Path) -> None:
    found = read_cases(write(tmp_path / "1.json", entry(7), entry("last")))
    assert [case.name for case in found.cases] == ["last"]
    assert found.skipped == (f"skipped: a case without a name, in {tmp_path / '1.json'}",)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"benchmarks": 3}', "\x00", "[1]", '{"benchmarks": [1'])
def test_a_damaged_file_of_a_folder_is_named_and_costs_no_other(tmp_path: Path, text: str) -> None:
    (tmp_path / "2.json").write_text(text)
    write(tmp_path / "1.json", entry())
    found = read_baselines([tmp_path], [])
    assert [case.name for case in found.cases] == ["case"]
    (line,) = found.skipped
    assert line.startswith(f"skipped: {tmp_path / '2.json'} is damaged, or not saved by pytest-benchmark (")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "1.json", entry())
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_cases(path).cases) == 1


def test_of_a_test_that_was_run_again_the_last_attempt_counts(tmp_path: Path) -> None:
    attempts = [entry(launches=[[9.0]]), entry("other"), entry(launches=[[1.0]])]
    cases = read_cases(write(tmp_path / "1.json", *attempts)).cases
    assert [(case.name, case.launches) for case in cases] == [("case", (1.0,)), ("other", (1.0,))]


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


def nights(folder: Path, count: int) -> None:
    for number in range(1, count + 1):
        saved_at = f"2026-02-01T00:00:{number:02}+00:00"
        save(folder / f"{number:04}_nightly.json", saved_at, case=1.0 + number * 1e-6)


def test_files_are_read_from_the_newest_name_until_each_case_has_its_sessions(tmp_path: Path) -> None:
    nights(tmp_path, NEWEST_SESSIONS + 2)
    now = MeasuredCase("case", {}, SessionTimes.of([1.0]))
    found = read_baselines([tmp_path], [now])
    assert len(found.cases) == NEWEST_SESSIONS + 1  # the last of which is older than all others
    assert min(case.saved_at for case in found.cases) == "2026-02-01T00:00:02+00:00"


@pytest.mark.parametrize(
    "sought",
    [
        MeasuredCase("new", {}, SessionTimes.of([1.0])),
        MeasuredCase("case", {"cores": 4}, SessionTimes.of([1.0])),
    ],
)
def test_what_no_file_has_makes_all_be_read(tmp_path: Path, sought: MeasuredCase) -> None:
    nights(tmp_path, NEWEST_SESSIONS + 5)
    found = read_baselines([tmp_path], [MeasuredCase("case", {}, SessionTimes.of([1.0])), sought])
    assert len(found.cases) == NEWEST_SESSIONS + 5


def test_a_disturbed_session_is_none_of_those_that_a_case_has(tmp_path: Path) -> None:
    nights(tmp_path, NEWEST_SESSIONS)
    write(tmp_path / "9999.json", entry(marks=["swapped"]), datetime="2026-03-01")
    assert judge(tmp_path, "case", 1.0).used == NEWEST_SESSIONS


def test_numbers_of_more_digits_are_newer(tmp_path: Path) -> None:
    save(tmp_path / "9999_old.json", "2026-02-01", case=9.0)
    for number in range(10_000, 10_001 + NEWEST_SESSIONS):
        save(tmp_path / f"{number}_new.json", f"2026-03-01T{number}", case=1.0 + number * 1e-7)
    found = read_baselines([tmp_path], [MeasuredCase("case", {}, SessionTimes.of([1.0]))])
    assert max(case.launches for case in found.cases) < (2.0,)


def test_the_session_that_is_judged_is_none_of_its_baselines(tmp_path: Path) -> None:
    write(tmp_path / "1.json", entry())
    now = read_cases(tmp_path / "1.json").cases
    found = read_baselines([tmp_path], now, current_is_saved=True)
    assert (found.cases, found.with_current) == ((), True)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(1e-12, 1e9), min_size=1, max_size=3), min_size=2, max_size=6),
    st.integers(1, 10_000),
)
def test_no_times_that_are_read_overflow_a_verdict(sessions: list[list[float]], cases: int) -> None:
    now, *earlier = [
        MeasuredCase.of("case", {"fingerprint": {}, "launches": [[each] for each in launches]}).times
        for launches in sessions
    ]
    assert judge_stored("case", now, earlier, cases=cases).used == len(earlier)
