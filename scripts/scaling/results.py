"""The file of the measured sessions, which an interrupted run continues."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.figures import Figures

from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True)
class Setting:
    """What is generated: ``batch_size`` requests a rank."""

    model: str
    dtype: str
    batch_size: int
    prompt_tokens: int
    new_tokens: int
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Session:
    """All layouts, one launch each, one after the other.

    Attributes:
        date: when it began, in UTC.
        load_before: runnable processes in the minute before.
        cases: of each layout.
        twice: two replicas with twice the batch.
    """

    date: str
    load_before: float
    cases: tuple[Figures, ...]
    twice: Figures

    def case(self, layout: str) -> Figures:
        """Return the case of that layout."""
        (found,) = (case for case in self.cases if case.layout == layout)
        return found


@dataclass(frozen=True)
class Results:
    """What was measured where."""

    setting: Setting
    machine: dict[str, str | int]
    sessions: tuple[Session, ...] = ()


def read_results(file: Path) -> Results:
    """Return the results in a file; UsageError where it has none."""
    try:
        saved = json.loads(file.read_text())
        setting = Setting(**saved["setting"] | {"ranks": tuple(saved["setting"]["ranks"])})
        return Results(setting, saved["machine"], tuple(map(_session, saved["sessions"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: no results of this script ({error})") from None


def _session(saved: dict[str, Any]) -> Session:
    return Session(
        date=saved["date"],
        load_before=saved["load_before"],
        cases=tuple(map(Figures.read, saved["cases"])),
        twice=Figures.read(saved["twice"]),
    )
