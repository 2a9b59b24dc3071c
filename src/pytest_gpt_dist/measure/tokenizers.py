"""Finding a model's own tokenizer without asking the network."""

from __future__ import annotations

import os
from pathlib import Path

_FILES = ("tokenizer.json", "tokenizer_config.json")


def find_tokenizer(name: str | None) -> str | None:
    """The folder of a tokenizer: ``name`` itself, or where the hub's cache on this machine has it; None if nowhere.

    The network is not asked, so that the same command makes the same tokens with and without it.
    """
    if name is None:
        return None
    if os.path.isdir(name):
        return name
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  slow to import, and seldom needed

    for file in _FILES:
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return str(Path(cached).parent)
    return None
