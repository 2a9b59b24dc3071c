"""What a side of an A/B says of itself before anything else is asked of it, and what it has imported."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.code_version import is_library
from pytest_gpt_dist.version import __version__

JOB_VERSION = 13
"""Of what controller and ranks tell each other about cases; raised when a class of theirs changes or moves."""


def about() -> dict[str, Any]:
    """Return what this interpreter runs, in plain values, which a controller of any version understands."""
    return {
        "job_version": JOB_VERSION,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "pytest_gpt_dist": __version__,
        "prefix": os.path.realpath(sys.prefix),
    }


def modules_below(folder: str, allowed: Sequence[str]) -> list[str]:
    """Files below a folder, but not below one of those allowed nor installed, of modules that this rank imported."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # A relative file is no place: torch gives such names to modules that it makes up.
    real = {os.path.realpath(file) for file in files if isinstance(file, str) and os.path.isabs(file)}
    return sorted(
        file
        for file in real
        if Path(file).is_relative_to(folder)
        and not any(Path(file).is_relative_to(kept) for kept in allowed)
        and not is_library(Path(file).relative_to(folder))
    )
