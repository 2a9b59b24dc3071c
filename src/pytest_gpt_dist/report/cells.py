"""How what a case saved is written in a cell of a table, or in a note beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_gpt_dist.results.result_format import format_of

NOTHING = "-"
_MIB = 2**20


def number(value: float | None, form: str) -> str:
    """Return a figure in that form, a dash for one that was not measured."""
    return NOTHING if value is None else form.format(value)


def memory(by_rank: Sequence[int | None]) -> str:
    """Return the largest of the ranks in MiB; a dash where none could tell."""
    known = [size for size in by_rank if size is not None]
    return f"{max(known) / _MIB:,.0f}" if known else NOTHING


def exact(matches_reference: bool | None, error: float | None) -> str:
    """Return whether the result is the reference's, and how far it is from that one."""
    if matches_reference is None:
        return "no reference"
    said = "yes" if matches_reference else "no"
    return said if error is None else f"{said} ({error:.0e})"


def notes(info: Mapping[str, Any]) -> list[str]:
    """Return what else there is to say about a case, its marks included."""
    found = []
    if info["degenerate"]:
        found.append(f"= {info['degenerate']}")
    if info["oversubscribed"]:
        found.append("oversubscribed")
    if info["shared_gpu"]:
        found.append("shared GPU")
    if not format_of(info).is_timed(info):
        found.append("untimed")
    if info["resumed"]:
        found.append("resumed")
    if (batching := info.get("batching", "in-order")) != "in-order":
        before = info["padding_fraction_in_order"]
        found.append(f"{batching}: {info['padding_fraction']:.0%} padding, in order {before:.0%}")
    return found + list(info["marks"])


def layout(info: Mapping[str, Any]) -> str:
    """Return the degrees, as ``dp1·pp2·tp4``."""
    return "dp{dp}·pp{pp}·tp{tp}".format_map(info["layout"])
