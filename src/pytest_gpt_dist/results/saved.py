"""Saved sessions as a report needs them: each case with everything that it saved."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.results.text import LONGEST_PATH, REVISION_DIGITS, one_line

_OF_A_CASE = {"fingerprint", "launches", "tokens_per_s"}
"""One of these makes an entry ours; which of them a damaged one lacks is said later."""
_NO_REPOSITORY = "unversioned"


@dataclass(frozen=True)
class SavedCase:
    """What one session saved of one case.

    ``source`` is the file that says so, ``saved_at`` when it was saved, as pytest-benchmark writes it: ISO 8601 in
    UTC, so that text sorts by time. ``revision`` is that of the code that was measured (``revision_of``), empty where
    nobody knows. ``verdicts`` are those that the session gave on the case. ``failed`` says that its test failed after
    it was measured, which files do not tell.
    """

    source: str
    test: str
    saved_at: str
    info: Mapping[str, Any]
    verdicts: tuple[Mapping[str, Any], ...] = ()
    failed: bool = False
    revision: str = ""


@dataclass(frozen=True)
class SavedSessions:
    """The cases of all readable files, and a line for whatever of files and folders cannot be used."""

    cases: tuple[SavedCase, ...]
    skipped: tuple[str, ...] = ()


def read_saved(paths: Sequence[Path]) -> SavedSessions:
    """Every case saved in files, and in the files below folders. What is damaged in a folder is named and skipped.

    UsageError for a file given by name that cannot be read, and where there is no case at all.
    """
    cases: list[SavedCase] = []
    skipped: list[str] = []
    for path in paths:
        for file in _files(path, skipped):
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


def revision_of(commit_info: Any) -> str:
    """What pytest-benchmark saved of the code's revision, in short; empty where it was no repository."""
    told = commit_info if isinstance(commit_info, dict) else {}
    named = str(told.get("id") or _NO_REPOSITORY)
    if named == _NO_REPOSITORY:
        return ""
    return named[:REVISION_DIGITS] + (" with uncommitted changes" if told.get("dirty") else "")


def _files(path: Path, skipped: list[str]) -> list[Path]:
    """The path, or the JSON files below it; what of a folder cannot be looked into is a line in ``skipped``."""
    if not os.path.isdir(path):  # which, unlike Path's, raises nothing: reading says what is wrong
        return [path]

    def refused(error: OSError) -> None:
        line = f"{one_line(error.filename, LONGEST_PATH)} cannot be read: {error.strerror}"
        if Path(error.filename) == path:
            raise UsageError(line)
        skipped.append(f"skipped: {line}")

    found = [
        Path(folder) / name
        for folder, _, names in os.walk(path, onerror=refused)
        for name in names
        if name.endswith(".json")
    ]
    return sorted(found)


def _read(path: Path) -> SavedSessions:
    """The cases of one file; a file may hold anybody's benchmarks."""
    name = one_line(path, LONGEST_PATH)
    try:
        saved = json.loads(path.read_text(encoding="utf-8-sig"))
        saved_at = str(saved.get("datetime", ""))
        revision = revision_of(saved.get("commit_info"))
        verdicts = list(saved.get("gpt_dist", {}).get("verdicts", []))
        named = [verdict for verdict in verdicts if isinstance(verdict, dict) and "case" in verdict]
        cases = tuple(
            SavedCase(
                source=str(path),
                test=str(benchmark["fullname"]),
                saved_at=saved_at,
                info=benchmark["extra_info"],
                verdicts=tuple(verdict for verdict in named if verdict["case"] == benchmark["fullname"]),
                revision=revision,
            )
            for benchmark in saved["benchmarks"]
            if not _OF_A_CASE.isdisjoint(benchmark["extra_info"])
        )
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{name} is damaged, or not saved by pytest-benchmark ({type(error).__name__})"
        ) from None
    nameless = len(named) < len(verdicts)
    return SavedSessions(cases, (f"skipped: verdicts that name no case, in {name}",) if nameless else ())
