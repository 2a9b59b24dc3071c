"""How an option was given: by a flag, or by a key of an ini file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """Where an option was given, and the text of its value; None of a flag without one.

    ``file`` is the ini file, or None on the command line; there ``name`` is the flag, or ``-o`` and the ini key.
    """

    name: str
    value: str | None = None
    file: str | None = None

    @property
    def source(self) -> str:
        """What a message names: the flag, or the ini key and its file."""
        return self.name if self.file is None else f"{self.name} in {self.file}"

    @property
    def written(self) -> str:
        """The same with the value."""
        return self.of(self.value)

    def of(self, value: object) -> str:
        """Return the same with another value, as after the parts of a path were put together."""
        written = self.name if value is None else f"{self.name}={value}"
        return written if self.file is None else f"{written} in {self.file}"
