"""The table after a run: one row a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.results.table import Align, table

_IN_COMMON = ("device_name", "model", "dtype", "scaling")
NOTHING = "-"
_MIB = 2**20


@dataclass(frozen=True)
class Row:
    """A case's id and what it saved (``extra_info``)."""

    case: str
    info: Mapping[str, Any]


def render(rows: Sequence[Row]) -> str:
    """A table for each device, model, dtype and scaling, under a line that names them; a dash was not measured."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" · ".join(str(row.info[key]) for key in _IN_COMMON), []).append(row)
    return "\n\n".join(
        f"{one_line(heading, LONGEST_PATH)}\n{_table(group)}" for heading, group in groups.items()
    )


def _table(rows: Sequence[Row]) -> str:
    columns = [(header, align, [cell(row) for row in rows]) for header, align, cell in _COLUMNS]
    shown = [
        (header, align, cells)
        for header, align, cells in columns
        if header not in _ONLY_IF_MEASURED or set(cells) != {NOTHING}
    ]
    return table(
        list(zip(*(cells for _, _, cells in shown), strict=True)),
        headers=[header for header, _, _ in shown],
        align=[align for _, align, _ in shown],
    )


def number(value: float | None, form: str) -> str:
    """A figure in that form, a dash for one that was not measured."""
    return NOTHING if value is None else form.format(value)


def _milliseconds(summary: Mapping[str, float] | None) -> str:
    return NOTHING if summary is None else f"{summary['mean'] * 1e3:,.1f}"


def memory(by_rank: Sequence[int | None]) -> str:
    """The largest of the ranks in MiB; a dash where none could tell."""
    known = [size for size in by_rank if size is not None]
    return f"{max(known) / _MIB:,.0f}" if known else NOTHING


def exact(matches_reference: bool | None, max_logit_error: float | None) -> str:
    """Whether the result is the reference's, and how far its logits are from that one's."""
    if matches_reference is None:
        return "no reference"
    said = "yes" if matches_reference else "no"
    return said if max_logit_error is None else f"{said} ({max_logit_error:.0e})"


def notes(info: Mapping[str, Any]) -> list[str]:
    """What else there is to say about a case, its marks included."""
    found = []
    if info["degenerate"]:
        found.append(f"= {info['degenerate']}")
    if info["oversubscribed"]:
        found.append("oversubscribed")
    if info["shared_gpu"]:
        found.append("shared GPU")
    if info["tokens_per_s"] is None:
        found.append("untimed")
    if info["resumed"]:
        found.append("resumed")
    if (batching := info.get("batching", "in-order")) != "in-order":
        before = info["padding_fraction_in_order"]
        found.append(f"{batching}: {info['padding_fraction']:.0%} padding, in order {before:.0%}")
    return found + list(info["marks"])


def layout(info: Mapping[str, Any]) -> str:
    """The degrees, as ``dp1·pp2·tp4``."""
    return "dp{dp}·pp{pp}·tp{tp}".format_map(info["layout"])


_COLUMNS: tuple[tuple[str, Align, Callable[[Row], str]], ...] = (
    ("case", "left", lambda row: row.case),
    ("layout", "left", lambda row: layout(row.info)),
    ("tokens/s", "right", lambda row: number(row.info["tokens_per_s"], "{:,.1f}")),
    ("speed-up", "right", lambda row: number(row.info["speedup"], "{:.2f}×")),
    ("efficiency", "right", lambda row: number(row.info["efficiency"], "{:.0%}")),
    ("of limit", "right", lambda row: number(row.info["bandwidth_fraction"], "{:.0%}")),
    ("latency ms", "right", lambda row: _milliseconds(row.info["latency_s"])),
    ("TTFT ms", "right", lambda row: _milliseconds(row.info["ttft_s"])),
    ("GPU util.", "right", lambda row: number(row.info["gpu_utilization"], "{:.0%}")),
    ("memory MiB", "right", lambda row: memory(row.info["peak_memory_bytes"])),
    ("exact", "left", lambda row: exact(row.info["matches_reference"], row.info["max_logit_error"])),
    ("notes", "left", lambda row: ", ".join(notes(row.info))),
)
_ONLY_IF_MEASURED = ("GPU util.",)
