"""Whatever stands in an entry of a file, the others are read, compared and reported."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.bounds import MOST_SAVED_BYTES, read_bounded
from pytest_gpt_dist.compare.baselines import read_baselines, read_cases
from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.session_verdicts import judge_session
from pytest_gpt_dist.compare.welch import describe_launches
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.findings import find
from pytest_gpt_dist.report.verdicts import render_verdicts
from pytest_gpt_dist.results.saved import is_ours, read_saved, read_session
from pytest_gpt_dist.session.grouping import group_by_workload
from saved_cases import saved_case

GPU = {
    "utilization": 0.9,
    "energy_j": 3.0,
    "power_w": {"mean": 1.0, "max": 2.0},
    "throttling": {"thermal": 0.1},
}
FULL: dict[str, Any] = {
    "telemetry": {
        "span_s": 1.0,
        "host": {"energy_j": 1.0},
        "ranks": [],
        "gpus": [GPU],
        "alerts": [{"limit": 1}],
    },
    "against": {"name": "HEAD", "problem": None, "screening": [], "confirmation": [], "alerts": []},
}
VERDICT = {"case": "b.py::bad", "kind": "unchanged", "effect": 0.1, "interval": [0.0, 0.2], "why": "noise"}
EXTREMES = (
    10**400,
    -(10**400),
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    "\x1b[2J\u202e",
    "|`<b>",
    "\ud800",
    "",
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(EXTREMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value where another one could stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def entry(test: str, **changes: Any) -> dict[str, Any]:
    info = saved_case(**changes).info
    return {"fullname": test, "name": test, "group": None, "extra_info": {**info}}


SESSION: dict[str, Any] = {
    "benchmarks": [entry("b.py::bad", **FULL)],
    "datetime": "2026-11-02T10:00:00+00:00",
    "commit_info": {"id": "0123456789abcdef", "dirty": True},
    "gpt_dist": {"verdicts": [VERDICT]},
}
PLACES = [place for place in places(SESSION) if len(place) > 1 or place[:1] not in ((), ("benchmarks",))]


@settings(deadline=None)  # a file each, on machines that do much else
@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_any_value_in_any_place_costs_at_most_its_own_entry(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    session = json.loads(json.dumps(SESSION))
    inner = session
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    session["benchmarks"] += [entry("b.py::first"), entry("b.py::second")]
    (folder / "1.json").write_text(json.dumps(session))
    (folder / "0.json").write_text(json.dumps({"benchmarks": [entry("b.py::first"), entry("b.py::bad")]}))

    current = read_cases(folder / "1.json").cases
    earlier = read_baselines([folder], current).cases
    verdicts = judge_session(current, earlier, {case.name: 0.02 for case in current})
    assert {verdict.case for verdict in verdicts} >= {"b.py::first", "b.py::second"}
    assert render_verdicts(verdicts).replace("\n", "").isprintable()
    describe_launches(current, earlier)

    found = find(read_saved([folder / "1.json"]).cases)
    assert {case.test for group in found.groups for case in group.cases} >= {"b.py::first", "b.py::second"}
    rows = [row for row in session["benchmarks"] if isinstance(row, dict) and {"name", "group"} <= row.keys()]
    if all(isinstance(row["name"], str) for row in rows):
        assert sum(len(rows) for _, rows in group_by_workload(None, rows, "group")) == len(rows)


@pytest.mark.parametrize(
    "info", [None, [], "launches fingerprint", {}, {"fingerprint": {}}, {"launches": [[1.0]]}]
)
def test_what_has_one_name_in_common_is_not_ours(info: object) -> None:
    assert not is_ours(info)


def test_what_has_lost_an_entry_is_still_ours() -> None:
    info = dict(saved_case().info)
    for key in ("fingerprint", "launches", "tokens_per_s"):
        assert is_ours({name: value for name, value in info.items() if name != key})


def test_no_file_is_read_twice_and_no_case_compared_with_every_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    compared: list[object] = []
    equal = MeasuredCase.__eq__

    def reading(path: Path) -> bytes:
        read.append(path)
        return read_bounded(path)

    def comparing(one: MeasuredCase, two: object) -> bool:
        compared.append(one)
        return equal(one, two)

    for number in range(50):
        cases = [entry(f"b.py::{case}", launches=[[1 + number / 100]]) for case in range(3)]
        (tmp_path / f"{number}.json").write_text(json.dumps({"benchmarks": cases}))
    monkeypatch.setattr("pytest_gpt_dist.results.saved.read_bounded", reading)
    monkeypatch.setattr(MeasuredCase, "__eq__", comparing)
    found = read_baselines([tmp_path], [MeasuredCase("new", {}, SessionTimes.of([1.0]))])
    assert len(found.cases) == 150
    assert len(read) == 50
    assert compared == []


def test_a_file_beyond_all_that_is_saved_is_not_read_whole(tmp_path: Path) -> None:
    giant = tmp_path / "giant.json"
    with giant.open("wb") as file:
        file.truncate(64 * MOST_SAVED_BYTES)  # takes no room on the disk
    with pytest.raises(UsageError, match="giant"):
        read_session(giant)
    with pytest.raises(ValueError, match="is longer than 10 bytes"):
        read_bounded(giant, 10)
