"""The prompt files of a session, each parsed once, and called by what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_gpt_dist.inference.prompts import Prompt, read_prompts
from pytest_gpt_dist.model.content_hash import hash_file, named_by_content


class PromptFiles:
    """Remembers the prompts of files for as long as those stay the same, as cases share them."""

    def __init__(self) -> None:
        self._parsed: dict[Path, tuple[tuple[int, ...], Sequence[Prompt]]] = {}
        self._names: dict[Path, str] = {}

    def read(self, path: Path) -> Sequence[Prompt]:
        """Return what ``read_prompts`` makes of the file as it is now; UsageError as there."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return read_prompts(path)  # which says what is wrong
        version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._parsed.get(path)
        if known is None or known[0] != version:
            known = self._parsed[path] = (version, read_prompts(path))
        return known[1]

    def name(self, path: Path) -> str:
        """Return what the file is called in ids, whatever its folder; UsageError where it cannot be read."""
        if path not in self._names:
            self._names[path] = named_by_content(path.stem, hash_file(path))
        return self._names[path]
