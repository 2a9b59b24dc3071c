"""Where the time of profiled rounds went: what a saved case says of it, and the table on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.results.checked import UNREADABLE, amount, count, entries, name
from pytest_gpt_dist.results.fitted_table import OF_A_SESSION, Column, fitted_table, wrapped

_SHOWN = 6
"""Operators of a case that people look at; the saved JSON has more, the traces have all."""


@dataclass(frozen=True)
class OperatorLine:
    """One operator of a profiled round, ``share`` of what all took on all ranks."""

    phase: str
    operator: str
    calls: int
    share: float


@dataclass(frozen=True)
class RoundProfile:
    """Shares by phase, the operators that took most, and the folder of the traces; the largest shares first."""

    phases: tuple[tuple[str, float], ...]
    operators: tuple[OperatorLine, ...]
    folder: str

    @property
    def largest(self) -> str:
        """Return the operators that took most, in a line."""
        return ", ".join(f"{each.operator} ({each.phase}) {each.share:.0%}" for each in self.operators[:3])


def read_profile(info: Mapping[str, Any]) -> RoundProfile | None:
    """Return what a saved case says of its profiled round; None where there was none, or where it is damaged."""
    if info.get("profile") is None:
        return None
    try:
        told = entries(info["profile"])
        phases = [(name(phase), amount(share)) for phase, share in entries(told["phases"]).items()]
        operators = [
            OperatorLine(
                name(each["phase"]), name(each["operator"]), count(each["calls"]), amount(each["share"])
            )
            for each in told["operators"]
        ]
        folder = one_line(str(PurePath(told["traces"][0]).parent), LONGEST_PATH)
    except UNREADABLE:
        return None
    return RoundProfile(
        tuple(sorted(phases, key=lambda phase: -phase[1])),
        tuple(sorted(operators, key=lambda each: -each.share)),
        folder,
    )


def profile_lines(saved: Mapping[str, Mapping[str, Any]], width: int) -> Iterator[str]:
    """Yield for each profiled case, by its name, its phases, its largest operators, and where its traces are."""
    for case, info in saved.items():
        if (found := read_profile(info)) is None:
            continue
        phases = ", ".join(f"{phase} {share:.0%}" for phase, share in found.phases)
        yield ""
        yield from wrapped(f"Profile of {case}: {phases}", width)
        yield _operators(found.operators[:_SHOWN], width)
        yield from wrapped(f"Traces, for Perfetto: {found.folder}", width)


def _operators(shown: Sequence[OperatorLine], width: int) -> str:
    return fitted_table(
        [
            Column("operator", "left", [each.operator for each in shown]),
            Column("phase", "left", [each.phase for each in shown]),
            Column("calls", "right", [f"{each.calls:,}" for each in shown]),
            Column("share", "right", [f"{each.share:.0%}" for each in shown]),
        ],
        width,
        by_priority=("share", "phase", "calls"),
        elsewhere=OF_A_SESSION,
    )
