"""What was run on what, as a line: the heading of a table of saved cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    """What was run on what, as a heading; empty for a benchmark that is none of this package's."""
    if not info.keys() >= _NEEDED:
        return ""
    words = [
        info["model"],
        *([] if info["weights"] == "random" else [info["weights"]]),
        info["dtype"],
        info["scaling"],
        f"batch {info['batch_size']}",
        *([] if info.get("batching", "in-order") == "in-order" else [info["batching"]]),
        f"{_lengths(info['prompt_tokens'])} + {_lengths(info['new_tokens'])} tokens",
        *_sampling(info["sampling"]),
        info["device_name"],
    ]
    return " · ".join(words)


def _lengths(tokens: int | Sequence[int]) -> str:
    return str(tokens) if isinstance(tokens, int) else f"{min(tokens)}…{max(tokens)}"


def _sampling(sampling: Mapping[str, Any]) -> list[str]:
    usual = {"greedy": sampling["greedy"], "repetition_penalty": 1}
    return [
        f"{name.replace('_', ' ')} {value}"
        for name, value in sampling.items()
        if value is not None and value != usual.get(name)
    ]
