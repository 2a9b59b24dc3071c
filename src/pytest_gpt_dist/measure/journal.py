"""What a session has measured so far, on disk, so that a killed session can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.linux import is_running
from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.results import checked

_SESSION = re.compile(r"\d+-(\d+)")


class JournalError(Exception):
    """The journal cannot be written, said in one line."""


@dataclass(frozen=True)
class Identity:
    """What must agree before a journalled result stands for a case: the test, the work, and the source."""

    case: str
    fingerprint: Mapping[str, Any]
    timing: Mapping[str, Any]
    revision: str | None

    def differs_from(self, other: Identity) -> str | None:
        """In what the other one is another, for people; None if it is the same."""
        if self.revision != other.revision:
            return "the source has changed"
        for part, mine, its in (
            ("fingerprint", self.fingerprint, other.fingerprint),
            ("timing", self.timing, other.timing),
        ):
            keys = [key for key in sorted({*mine, *its}) if mine.get(key) != its.get(key)]
            if keys:
                return f"its {part} differs in {', '.join(keys)}"
        return None


class Journal:
    """The journals of a project: one folder a session, one file a case; a completed session's is removed.

    ``folder`` is ``.gpt-dist`` below pytest's rootdir.
    """

    def __init__(self, folder: Path) -> None:
        self._home = folder
        self._sessions = folder / "journal"
        self._own = self._sessions / f"{time.time_ns()}-{os.getpid()}"
        self._resumed_from: set[Path] = set()

    def write(self, identity: Identity, result: Result) -> None:
        """Put a result on disk: written aside, flushed, renamed. Raises JournalError where that fails."""
        entry = {
            "case": identity.case,
            "fingerprint": dict(identity.fingerprint),
            "timing": dict(identity.timing),
            "revision": identity.revision,
            "extra_info": result.extra_info,
            "tokens": result.tokens,
        }
        path = self._own / _file_name(identity.case)
        aside = path.with_suffix(".part")
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            ignore = self._home / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            with aside.open("w", encoding="utf-8") as file:
                json.dump(entry, file, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            raise JournalError(
                f"cannot write {path}: {error.strerror}; free some space or make it writable"
            ) from None

    def find(self, identity: Identity) -> Result | str | None:
        """The newest result that a session now dead left of this very case; why there is none; None if none at all."""
        why: str | None = None
        for path in self._left_behind(_file_name(identity.case)):
            try:
                entry = json.loads(path.read_text(encoding="utf-8"))
                same = checked.fingerprint(entry["fingerprint"]), checked.fingerprint(entry["timing"])
                found = Identity(entry["case"], *same, entry["revision"])
                checked.launches(entry["extra_info"]["launches"])
                result = Result.from_saved(entry["extra_info"], entry["tokens"])
            except (OSError, *checked.UNREADABLE) as error:
                why = why or f"{path} is damaged ({type(error).__name__})"
                continue
            difference = identity.differs_from(found)
            if difference is None:
                self._resumed_from.add(path.parent)
                return result
            why = why or difference
        return why

    def complete(self) -> None:
        """The session came to its end: nothing of it, nor of those it resumed, is to be resumed again."""
        for folder in {self._own, *self._resumed_from}:
            shutil.rmtree(folder, ignore_errors=True)

    def _left_behind(self, name: str) -> Iterator[Path]:
        """Files of that name in the folders of sessions that no longer run, newest first."""
        try:
            folders = sorted(self._sessions.iterdir(), key=lambda folder: folder.name, reverse=True)
        except OSError:
            return
        for folder in folders:
            match = _SESSION.fullmatch(folder.name)
            if match is None or is_running(int(match[1])):
                continue
            if (folder / name).is_file():
                yield folder / name


def _file_name(case: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", case.rpartition("::")[2])[:80]
    return f"{readable}-{hashlib.sha256(case.encode()).hexdigest()[:12]}.json"
