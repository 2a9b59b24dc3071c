"""Saved sessions as a report needs them: each case with everything that it saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.report.wording import LONGEST_PATH, one_line


@dataclass(frozen=True)
class SavedCase:
    """What one session saved of one case.

    ``source`` is the file that says so, ``saved_at`` when it was saved, as pytest-benchmark writes it: ISO 8601 in
    UTC, so that text sorts by time. ``verdicts`` are those that the session gave on the case. ``failed`` says that its
    test failed after it was measured, which files do not tell.
    """

    source: str
    test: str
    saved_at: str
    info: Mapping[str, Any]
    verdicts: tuple[Mapping[str, Any], ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class SavedSessions:
    """The cases of all readable files, and a line for whatever cannot be used."""

    cases: tuple[SavedCase, ...]
    skipped: tuple[str, ...] = ()


def read_saved(paths: Sequence[Path]) -> SavedSessions:
    """Every case saved in files, and in the files below folders. What is damaged in a folder is named and skipped.

    UsageError for a file given by name that cannot be read, and where there is no case at all.
    """
    cases: list[SavedCase] = []
    skipped: list[str] = []
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            try:
                found = _read(file)
            except UsageError as error:
                if file == path:
                    raise
                skipped.append(f"skipped: {error}")
            else:
                cases += found.cases
                skipped += found.skipped
    if not cases:
        given = ", ".join(one_line(path, LONGEST_PATH) for path in paths)
        raise UsageError(f"no case of pytest-gpt-dist in {given}; give files that pytest-benchmark saved")
    return SavedSessions(tuple(cases), tuple(skipped))


def _read(path: Path) -> SavedSessions:
    """The cases of one file; a file may hold anybody's benchmarks."""
    name = one_line(path, LONGEST_PATH)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        saved_at = str(saved.get("datetime", ""))
        verdicts = list(saved.get("gpt_dist", {}).get("verdicts", []))
        named = [verdict for verdict in verdicts if isinstance(verdict, dict) and "case" in verdict]
        cases = tuple(
            SavedCase(
                source=str(path),
                test=str(benchmark["fullname"]),
                saved_at=saved_at,
                info=benchmark["extra_info"],
                verdicts=tuple(verdict for verdict in named if verdict["case"] == benchmark["fullname"]),
            )
            for benchmark in saved["benchmarks"]
            if "fingerprint" in benchmark["extra_info"]
        )
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{name} is damaged, or not saved by pytest-benchmark ({type(error).__name__})"
        ) from None
    nameless = len(named) < len(verdicts)
    return SavedSessions(cases, (f"skipped: verdicts that name no case, in {name}",) if nameless else ())
