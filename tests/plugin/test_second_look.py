"""A second look at what seems to have changed: fresh launches at the end of a session, and what follows."""

import json
from typing import Any

import pytest

from plugin.sessions import TESTS, Session, run_session

SWINGING = """\
from dataclasses import replace
from pathlib import Path

import sorting

class Swinging(sorting.SortingMode):
    def job(self, case, checked, timing):
        return "swinging:sort", super().job(case, checked, timing)[1]

def sort(job):
    file = Path("-".join(map(str, job[0])))
    now, *later = file.read_text().split()
    file.write_text(" ".join(later))
    return replace(sorting.sort(job), rounds_s=(float(now),) * job[1])
"""
CONFTEST = """\
def pytest_gpt_dist_register(registry):
    registry.add_mode("sorting", "swinging:Swinging", "sorting:SORTING")
"""
CASES = """\
def test_slower(gpt_dist):
    gpt_dist.measure("sorting", numbers=(3, 2, 1))

def test_slow_hour(gpt_dist):
    gpt_dist.measure("sorting", numbers=(2, 1, 3))

def test_lost(gpt_dist):
    gpt_dist.measure("sorting", numbers=(1, 3, 2))
"""
FILES = {
    "conftest.py": CONFTEST,
    "sorting.py": (TESTS / "made_mode.py").read_text(),
    "swinging.py": SWINGING,
    "test_cases.py": CASES,
}
HERE = ("--gpt-device=cpu", "--gpt-gpus=1", "--gpt-rounds=3", "--gpt-baseline")
BEFORE = {"3-2-1": "0.5", "2-1-3": "0.5", "1-3-2": "0.5"}
AFTER = {
    "3-2-1": "0.6 0.61 0.6 0.62 0.6",
    "2-1-3": "0.8 0.8 0.5 0.5 0.5",
    "1-3-2": "0.6 0.6",  # and then its rank fails
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session that has nothing to compare with."""
    return run_session(tmp_path_factory.mktemp("looked"), FILES | BEFORE, *HERE, "--benchmark-autosave")


@pytest.fixture(scope="module")
def second(first: Session) -> Session:
    """The session after it, in which every case takes longer at first."""
    return run_session(first.folder, FILES | AFTER, *HERE, "--benchmark-json=out.json")


def saved(session: Session) -> Any:
    return json.loads((session.folder / "out.json").read_text())


def info(session: Session, name: str) -> Any:
    return next(entry["extra_info"] for entry in saved(session)["benchmarks"] if entry["name"] == name)


def test_a_first_session_has_nothing_to_look_at_again(first: Session) -> None:
    assert first.status == 0, first.output
    assert all("second_look" not in benchmark["extra_info"] for benchmark in first.benchmarks.values())


def test_what_every_fresh_launch_shows_fails_the_session(second: Session) -> None:
    verdicts = saved(second)["gpt_dist"]["verdicts"]
    assert {verdict["case"].partition("::")[2]: verdict["kind"] for verdict in verdicts} == {
        "test_slower": "regressed",
        "test_slow_hour": "inconclusive",
        "test_lost": "inconclusive",
    }, second.output
    assert second.status == 1
    assert second.output.splitlines()[-1] == "gpt-dist: 1 regressed, which fails the session: test_slower"


def test_fresh_launches_are_saved_and_the_first_one_is_what_the_file_says(second: Session) -> None:
    entries = info(second, "test_slower")
    assert entries["launches"] == [[0.6] * 3]
    assert entries["second_look"]["launches"] == [[0.61] * 3, [0.6] * 3, [0.62] * 3, [0.6] * 3]


def test_a_second_look_that_fails_costs_the_verdict_of_its_case_alone(second: Session) -> None:
    assert len(info(second, "test_lost")["second_look"]["launches"]) == 1
    assert "the second look was not finished" in second.output
    assert all(test.outcome == "passed" for test in second.tests.values())
