"""One thing that was looked at, and how it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "fault"]
_WIDTH = max(len(state) for state in ("ok", "warning", "fault"))


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was seen, and what to do about it, "" where nothing has to be done.

    A fault keeps cases from running, or from running as asked for; a warning makes figures doubtful, or leaves
    something out.
    """

    subject: str
    state: State
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<{_WIDTH}}  {self.subject}: {self.seen}"
        return f"{line}; {self.remedy}" if self.remedy else line

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def any_fault(findings: Sequence[Finding]) -> bool:
    """Whether one of them keeps cases from running."""
    return any(finding.state == "fault" for finding in findings)
