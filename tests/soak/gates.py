"""Moments at which a session, or its ranks, stand still until a fault is injected; also a plugin of that session.

A gate is a file: who comes to it says so in a file beside it, and goes on when the gate is gone.
"""

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FOLDER = "SOAK_GATES"
SAVING = "saving"


def hold(moment: str, **facts: Any) -> dict[str, Any] | None:
    """Stand still at a gate; what is to be done then, None where there is nothing to do or no such gate."""
    gate = Path(os.environ[FOLDER], moment)
    if not gate.exists():
        return None
    aside = gate.with_name(f"{os.getpid()}.part")
    aside.write_text(json.dumps({"pid": os.getpid(), **facts}))
    aside.rename(gate.with_name(f"{moment}.reached.{os.getpid()}"))
    while gate.exists():
        time.sleep(0.01)
    act = gate.with_name(f"{moment}.act")
    found: dict[str, Any] | None = json.loads(act.read_text()) if act.exists() else None
    return found


def reached(gates: Path, moment: str) -> list[dict[str, Any]]:
    """What those said who stand at a gate."""
    return [json.loads(path.read_text()) for path in gates.glob(f"{moment}.reached.*")]


def _case(nodeid: str) -> str:
    return nodeid.partition("[")[2].removesuffix("]")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    hold(f"{_case(item.nodeid)}.before")


def pytest_runtest_logfinish(nodeid: str) -> None:
    hold(f"{_case(nodeid)}.after")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    hold(SAVING)  # before pytest-benchmark's own wrapper, which saves
    return (yield)
