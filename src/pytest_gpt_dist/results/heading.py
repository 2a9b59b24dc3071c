"""What was run on what, in a line: the heading of a workload, and the name of a case's series over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_gpt_dist.errors import one_line

LONGEST_SERIES = 1024
"""Characters: the most that Bencher takes for a name."""
_NEEDED = {
    "model",
    "dtype",
    "weights",
    "scaling",
    "batch_size",
    "prompt_tokens",
    "new_tokens",
    "sampling",
    "device_name",
}


def workload(info: Mapping[str, Any]) -> str:
    """Return what was run on what, as a heading; empty for a benchmark that is none of this package's."""
    if not info.keys() >= _NEEDED:
        return ""
    return " · ".join([*_work(info), info["device_name"]])


def series(test: str, info: Mapping[str, Any]) -> str:
    """Return the name under which a tracker keeps a case's numbers over time.

    Trackers tell series apart by their names alone. So it says what a change of makes another series: test, engine,
    layout, workload and machine; and not what one wants to see the effect of, such as revisions and versions.
    """
    parts = [test, info["engine"], degrees(info["layout"]), *_work(info), _machine(info)]
    return one_line(" · ".join(parts), LONGEST_SERIES)


def degrees(layout: Mapping[str, int]) -> str:
    """Return a saved layout as options and fingerprints write it, such as ``dp2pp1tp2``."""
    return "".join(f"{degree}{layout[degree]}" for degree in ("dp", "pp", "tp"))


def _work(info: Mapping[str, Any]) -> list[str]:
    return [
        info["model"],
        *([] if info["weights"] == "random" else [info["weights"]]),
        info["dtype"],
        info["scaling"],
        f"batch {info['batch_size']}",
        *([] if info.get("batching", "in-order") == "in-order" else [info["batching"]]),
        f"{_lengths(info['prompt_tokens'])} + {_lengths(info['new_tokens'])} tokens",
        *_sampling(info["sampling"]),
    ]


def _machine(info: Mapping[str, Any]) -> str:
    """The device, and of a processor how many cores there are: clouds sell one processor in many sizes."""
    cores = info["fingerprint"].get("cores") if info["device"] == "cpu" else None
    return str(info["device_name"]) if cores is None else f"{info['device_name']}, cores: {cores}"


def _lengths(tokens: int | Sequence[int]) -> str:
    return str(tokens) if isinstance(tokens, int) else f"{min(tokens)}…{max(tokens)}"


def _sampling(sampling: Mapping[str, Any]) -> list[str]:
    usual = {"greedy": sampling["greedy"], "repetition_penalty": 1}
    return [
        f"{name.replace('_', ' ')} {value}"
        for name, value in sampling.items()
        if value is not None and value != usual.get(name)
    ]
