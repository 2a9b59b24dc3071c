"""What a real session on this machine sees beside its rounds."""

import os
import subprocess
import sys
from typing import Any

import pytest

from plugin.sessions import TINY, Session, run_session
from pytest_gpt_dist.telemetry.disturbances import disturbing

CASE = """
def test_case(gpt_dist):
    gpt_dist.run(gpus=1, new_tokens=32, rounds=200)
"""
NEIGHBOUR = "import os; os.sched_setaffinity(0, {%d})\nwhile True: pass"
# One byte in use is more than this share of any memory, so that there is an alert on every machine.
ALERT = "--gpt-alert=host_memory=0.0,cpu=100"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("telemetry")
    flags = ("--gpt-device=cpu", "--benchmark-autosave", ALERT)
    first = min(os.sched_getaffinity(0))  # the core of the only rank
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR % first]) as neighbour:
        try:
            return run_session(folder, {"test_case.py": CASE}, *TINY, *flags)
        finally:
            neighbour.kill()


@pytest.fixture(scope="module")
def telemetry(session: Session) -> dict[str, Any]:
    assert session.status == pytest.ExitCode.OK, session.output
    saved: dict[str, Any] = session.info("test_case")["telemetry"]
    return saved


def test_the_rank_worked_and_has_memory(telemetry: dict[str, Any]) -> None:
    (rank,) = telemetry["ranks"]
    assert 0 < rank["cpu"]["mean"] <= rank["cpu"]["max"]
    assert rank["memory_bytes"]["max"] > 2**20


def test_the_machine_was_looked_at(telemetry: dict[str, Any]) -> None:
    assert telemetry["host"]["cpu"]["mean"] > 0
    assert 0 < telemetry["host"]["memory"]["mean"] < 1
    assert telemetry["gpus"] == []
    assert telemetry["series"] is None
    assert telemetry["readings"] >= 1
    assert telemetry["span_s"] > 0


def test_a_neighbour_on_the_core_of_a_rank_is_marked_and_nothing_else_is(
    session: Session, telemetry: dict[str, Any]
) -> None:
    (mark,) = disturbing(session.info("test_case")["marks"])
    assert mark.startswith("shared device: others took")
    assert mark in session.output
    assert telemetry["host"]["owned_others"]["mean"] > 0.1


def test_an_alert_is_saved_and_printed(session: Session, telemetry: dict[str, Any]) -> None:
    (alert,) = telemetry["alerts"]
    assert (alert["quantity"], alert["where"], alert["severity"]) == ("host_memory", "host", "warning")
    assert f"warning: host: memory in use {alert['value']:.0f}%, above 0% (1 case)" in session.output
