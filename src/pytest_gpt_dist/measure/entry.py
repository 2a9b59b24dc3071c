"""What the controller calls on ranks. It does without torch, so each function imports its own when it runs there."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_gpt_dist import __version__
from pytest_gpt_dist.cluster.side import is_library
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.fractions import DeviceLimits
from pytest_gpt_dist.measure.job import CaseJob, OracleJob, RankReport, ReferenceJob, ReferenceReport

JOB_VERSION = 6
"""Of what controller and ranks tell each other about cases; raised when a field of theirs changes."""


def about() -> dict[str, Any]:
    """What this rank runs, in plain values, which a controller of any version understands."""
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


def run_case(job: CaseJob) -> RankReport:
    """Load, check and time one case; on every rank of its group."""
    from pytest_gpt_dist.measure import on_rank

    return on_rank.run_case(job)


def measure_limits(dtype: str) -> DeviceLimits:
    """Measure how fast the device can read and multiply; on every rank of a group at once."""
    from pytest_gpt_dist.measure import limits

    return limits.measure_limits(dtype)


def compute_reference(job: ReferenceJob) -> ReferenceReport:
    """Compute the single-device reference; on a group of one rank."""
    from pytest_gpt_dist.measure import reference

    return reference.compute_reference(job)


def compare_with_transformers(job: OracleJob) -> float:
    """Compare a row of the reference with transformers' own model; on a group of one rank."""
    from pytest_gpt_dist.measure import oracle

    return oracle.compare_with_transformers(job)


def tokenize(folder: str, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, without special tokens, by the tokenizer in ``folder``; on a group of one rank."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return [list(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    except Exception as error:  # whatever reading a broken file brings up
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{folder}: its tokenizer cannot be loaded ({type(error).__name__}: {reason})"
        ) from error
