"""One thing that was looked at, and how it is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, ParamSpec

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, first_line, one_line

P = ParamSpec("P")
State = Literal["ok", "warning", "fault"]
_STATE_WIDTH = len("warning")
_SUBJECT_WIDTH = len("pytest-benchmark")
_INDENT = " " * (_STATE_WIDTH + _SUBJECT_WIDTH + 4)


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

    def text(self, width: int | None = None) -> str:
        """As people read it, in columns, what to do in a line of its own; ``width`` is a terminal's, None for any."""
        head = f"{self.state:<{_STATE_WIDTH}}  {self.subject:<{_SUBJECT_WIDTH}}  "
        lines = _wrapped(head, one_line(self.seen, LONGEST_PATH), width) + [
            _INDENT + line for line in self.beneath()
        ]
        if self.remedy:
            lines += _wrapped(f"{_INDENT}-> ", one_line(self.remedy, LONGEST_PATH), width)
        return "\n".join(lines)

    def beneath(self) -> Sequence[str]:
        """Lines that say more, for people."""
        return ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def looked(
    subject: str, look: Callable[P, Finding | Iterable[Finding]], *args: P.args, **named: P.kwargs
) -> Iterator[Finding]:
    """Yield what a look finds; where it fails, the last finding is a fault that says why."""
    try:
        found = look(*args, **named)
        yield from (found,) if isinstance(found, Finding) else found
    except Exception as error:
        yield failure(subject, error)


def failure(subject: str, error: Exception) -> Finding:
    """Return the fault that an error is. One of usage says what to do about it, after a semicolon."""
    if isinstance(error, UsageError):
        seen, _, remedy = str(error).partition("; ")
        return Finding(subject, "fault", seen, remedy)
    return Finding(
        subject, "fault", f"could not be looked at: {type(error).__name__}: {first_line(error)}".rstrip(": ")
    )


def any_fault(findings: Iterable[Finding]) -> bool:
    """Whether one of them keeps cases from running."""
    return any(finding.state == "fault" for finding in findings)


def _wrapped(head: str, text: str, width: int | None) -> list[str]:
    if width is None or width < 2 * len(head):
        return [head + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
