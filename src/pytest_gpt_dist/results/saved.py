"""The one reader of the files that pytest-benchmark saves: what is foreign or damaged costs itself alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pytest_gpt_dist.bounds import read_bounded
from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, one_line
from pytest_gpt_dist.results.checked import UNREADABLE, reason
from pytest_gpt_dist.results.text import REVISION_DIGITS

_OF_A_CASE = ("fingerprint", "launches", "unit")
_NO_REPOSITORY = "unversioned"
_NUMBERED = re.compile(r"\d{1,18}")


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


def is_ours(info: object) -> TypeGuard[dict[str, Any]]:
    """Return whether an entry's ``extra_info`` is a case of this package.

    It takes two of the keys that all of them have: somebody else's benchmark may well have a fingerprint of its own,
    and what one of ours has lost is damage that is worth a line.
    """
    return isinstance(info, dict) and sum([key in info for key in _OF_A_CASE]) > 1


def read_session(path: Path) -> SavedSessions:
    """Return the cases of one file: of a test that was run again, the last attempt.

    UsageError where the file cannot be read, or is none that pytest-benchmark saved.
    """
    place = one_line(path, LONGEST_PATH)
    try:
        # As bytes, with or without a byte order mark, which editors add.
        saved = json.loads(read_bounded(path))
        benchmarks = saved["benchmarks"]
        if not isinstance(benchmarks, list):
            raise TypeError
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    except UNREADABLE as error:
        raise UsageError(
            f"{place} is damaged, or not saved by pytest-benchmark ({type(error).__name__})"
        ) from None
    saved_at = saved.get("datetime")
    revision = revision_of(saved.get("commit_info"))
    verdicts, nameless = _verdicts(saved.get("gpt_dist"))
    cases: dict[str, SavedCase] = {}
    skipped = [f"skipped: verdicts that name no case, in {place}"] if nameless else []
    for benchmark in benchmarks:
        if not isinstance(benchmark, dict) or not is_ours(info := benchmark.get("extra_info")):
            continue
        test = benchmark.get("fullname")
        if not isinstance(test, str):
            skipped.append(f"skipped: a case without a name, in {place}")
            continue
        cases[test] = SavedCase(
            source=str(path),
            test=test,
            saved_at=saved_at if isinstance(saved_at, str) else "",
            info=info,
            verdicts=tuple(verdicts.get(test, ())),
            revision=revision,
        )
    return SavedSessions(tuple(cases.values()), tuple(skipped))


def read_saved(paths: Sequence[Path]) -> SavedSessions:
    """Return every case saved in files, and in the files below folders.

    What is damaged in a folder is named and skipped.
    UsageError for a file given by name that cannot be read, and where there is no case at all.
    """
    cases: list[SavedCase] = []
    skipped: list[str] = []
    for path in paths:
        if not os.path.isdir(path):  # which, unlike Path's, raises nothing: reading says what is wrong
            found = read_session(path)
            cases += found.cases
            skipped += found.skipped
            continue
        require_folder(path)
        files, unseen = files_below(path)
        skipped += unseen
        for file in sorted(files):
            try:
                found = read_session(file)
            except UsageError as error:
                skipped.append(f"skipped: {error}")
            else:
                cases += found.cases
                skipped += found.skipped
    if not cases:
        given = ", ".join(one_line(path, LONGEST_PATH) for path in paths)
        raise UsageError(f"no case of pytest-gpt-dist in {given}; give files that pytest-benchmark saved")
    return SavedSessions(tuple(cases), tuple(skipped))


def require_folder(path: Path) -> None:
    """Raise UsageError where a folder that was given by name cannot be looked into."""
    try:
        os.scandir(path).close()
    except OSError as error:
        raise UsageError(f"{one_line(path, LONGEST_PATH)} cannot be read: {error.strerror}") from None


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the JSON files below a folder, and a line for each folder there that cannot be looked into."""
    unseen: list[str] = []

    def refused(error: OSError) -> None:
        unseen.append(f"skipped: {one_line(error.filename, LONGEST_PATH)} cannot be read: {error.strerror}")

    files = [
        Path(inner) / name
        for inner, _, names in os.walk(folder, onerror=refused)
        for name in names
        if name.endswith(".json")
    ]
    return files, unseen


def newest_first(files: Iterable[Path]) -> list[Path]:
    """Return files in the order of pytest-benchmark's numbers, the highest first, before these what has none."""

    def age(path: Path) -> tuple[float, str, str]:
        numbered = _NUMBERED.match(path.name)
        return (int(numbered[0]) if numbered else float("inf"), path.name, str(path))

    return sorted(files, key=age, reverse=True)


def revision_of(commit_info: Any) -> str:
    """Return what pytest-benchmark saved of the code's revision, in short; empty where it was no repository."""
    told = commit_info if isinstance(commit_info, dict) else {}
    named = one_line(told.get("id") or _NO_REPOSITORY)
    if named == _NO_REPOSITORY:
        return ""
    return named[:REVISION_DIGITS] + (" with uncommitted changes" if told.get("dirty") else "")


def unusable(saved: SavedCase, error: BaseException) -> UsageError:
    """Return what to say of a case that these entries make no sense of, the reason first."""
    where = one_line(saved.source, LONGEST_PATH)
    return UsageError(f"not usable ({reason(error)}): {one_line(saved.test)} in {where}")


def _verdicts(told: Any) -> tuple[dict[str, list[Mapping[str, Any]]], bool]:
    """Return a session's verdicts by case, and whether there were some that name none."""
    saved = told.get("verdicts", []) if isinstance(told, dict) else [] if told is None else told
    by_case: dict[str, list[Mapping[str, Any]]] = {}
    if not isinstance(saved, list):
        return by_case, True
    for verdict in saved:
        if isinstance(verdict, dict) and isinstance(verdict.get("case"), str):
            by_case.setdefault(verdict["case"], []).append(verdict)
    return by_case, sum(map(len, by_case.values())) < len(saved)
