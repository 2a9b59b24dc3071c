"""What a session has measured so far, on disk, so that a killed session can be resumed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.bounds import read_bounded
from pytest_gpt_dist.host.holding import Hold, hold
from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.results import checked
from pytest_gpt_dist.results.metrics import SCHEMA

_SESSION = re.compile(r"\d+-\d+")
_LOCK = "lock"

_log = logging.getLogger(__name__)

Restore = Callable[[dict[str, Any], Any, tuple[float, ...]], Result]
"""Makes a result of its saved entries, output and samples. KeyError or TypeError where they make none."""


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

    A session holds its folder, and those from which it has taken a result, for as long as it lives.
    ``folder`` is ``.gpt-dist`` below pytest's rootdir; ``restore`` makes a result of its saved entries and output.
    """

    def __init__(self, folder: Path, restore: Restore) -> None:
        self._home = folder
        self._restore = restore
        self._sessions = folder / "journal"
        self._own: Path | None = None
        self._holds: dict[Path, Hold | None] = {}

    def open(self) -> None:
        """Make this session's folder, if it has none. Raises JournalError where it cannot be written."""
        if self._own is not None and (self._own / _LOCK).exists():
            return
        own = self._sessions / f"{time.time_ns()}-{os.getpid()}"
        try:
            own.mkdir(parents=True)
            ignore = self._home / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            self._holds[own] = _hold_new(own / _LOCK)
        except OSError as error:
            raise _cannot_write(own, error) from None
        self._own = own

    def write(self, identity: Identity, result: Result) -> None:
        """Put a result on disk: written aside, flushed, renamed. Raises JournalError where that fails."""
        self.open()
        assert self._own is not None
        path = self._own / _file_name(identity.case)
        aside = path.with_suffix(".part")
        text = entry_text(identity, result)
        try:
            with aside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError as error:
            with suppress(OSError):
                aside.unlink()
            raise _cannot_write(path, error) from None

    def forget(self, case: str) -> None:
        """Remove what this session has written of a case."""
        if self._own is not None:
            with suppress(OSError):
                (self._own / _file_name(case)).unlink()

    def find(self, identity: Identity) -> Result | str | None:
        """Return the newest result that a dead session left of this very case; why it does not serve; None if none."""
        why: str | None = None
        for path in self._left_of_others(_file_name(identity.case)):
            already = path.parent in self._holds
            try:
                held = None if already else hold(path.parent / _LOCK)
            except FileNotFoundError:  # a session that is just about to begin
                continue
            except OSError as error:
                why = (
                    why
                    or f"nobody can tell whether the session of {path.parent} still runs ({error.strerror})"
                )
                continue
            if held is None and not already:
                continue
            found = _read(path, identity, self._restore)
            if isinstance(found, Result):
                if held is not None:
                    self._holds[path.parent] = held
                return found
            if held is not None:
                held.release()
            _log.info("%s: %s", path, found)
            why = why or found
        return why

    def complete(self) -> None:
        """Remove what is there of a session that came to its end, and of those it resumed."""
        for folder in self._holds:
            shutil.rmtree(folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let other sessions resume this one, and those it resumed, if it has not come to its end."""
        if self._own is not None and not any(self._own.glob("*.json")):
            shutil.rmtree(self._own, ignore_errors=True)
        for held in self._holds.values():
            if held is not None:
                held.release()
        self._holds.clear()
        self._own = None

    def _left_of_others(self, name: str) -> Iterator[Path]:
        """Yield what has that name in the folders of other sessions, newest first."""
        try:
            folders = sorted(self._sessions.iterdir(), key=lambda folder: folder.name, reverse=True)
        except OSError:
            return
        for folder in folders:
            if _SESSION.fullmatch(folder.name) and folder != self._own and os.path.lexists(folder / name):
                yield folder / name


def entry_text(identity: Identity, result: Result) -> str:
    """Return what is written of a case: an object in JSON, with a checksum of its other entries."""
    entry = {
        "case": identity.case,
        "fingerprint": dict(identity.fingerprint),
        "timing": dict(identity.timing),
        "revision": identity.revision,
        "extra_info": result.extra_info,
        "output": result.output,
    }
    text = json.dumps(entry, allow_nan=False)
    return json.dumps(json.loads(text) | {"sha256": _checksum(text)})


def parse_entry(content: bytes, restore: Restore) -> tuple[Identity, Result]:
    """Return what was written of a case. ValueError, in one line, where it is damaged or of another version."""
    try:
        entry = json.loads(content.decode("utf-8-sig"))
        checksum = entry.pop("sha256")
        whole = checksum == _checksum(json.dumps(entry))
    except checked.UNREADABLE as error:
        raise ValueError(f"is damaged ({type(error).__name__})") from None
    if not whole:
        raise ValueError("is damaged (its checksum is another)")
    try:
        schema = entry["extra_info"]["schema"]
        identity = Identity(
            entry["case"],
            checked.fingerprint(entry["fingerprint"]),
            checked.fingerprint(entry["timing"]),
            entry["revision"],
        )
        info = entry["extra_info"]
        samples = tuple(sample for launch in checked.launches(info["launches"]) for sample in launch)
        result = restore(info | {"resumed": True}, entry["output"], samples)
    except checked.UNREADABLE as error:
        raise ValueError(f"is of another version ({checked.reason(error)})") from None
    if schema != SCHEMA:
        raise ValueError(f"is of schema {schema!r}, and this version reads {SCHEMA}")
    return identity, result


def _read(path: Path, identity: Identity, restore: Restore) -> Result | str:
    """Return the result in a file, if it is of this very case; else why it does not serve."""
    try:
        found, result = parse_entry(read_bounded(path), restore)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    except ValueError as error:
        return f"{path} {error}"
    return identity.differs_from(found) or result


def _hold_new(lock: Path) -> Hold | None:
    """Hold a file that did not exist; no hold where the disk knows no locks, and so nobody else takes it."""
    lock.touch()
    try:
        return hold(lock)
    except OSError as error:
        _log.warning("%s cannot be locked (%s): this session cannot be resumed", lock, error)
        return None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _cannot_write(path: Path, error: OSError) -> JournalError:
    return JournalError(f"cannot write {path}: {error.strerror}; free some space or make it writable")


def _file_name(case: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", case.rpartition("::")[2])[:80]
    return f"{readable}-{hashlib.sha256(case.encode()).hexdigest()[:12]}.json"
