"""What the controller calls on ranks. It does without torch, so each function imports its own when it runs there."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.messages import (
    ReferenceJob,
    ReferenceReport,
    TransformersCheckJob,
)


def compute_reference(job: ReferenceJob) -> ReferenceReport:
    """Compute the single-device reference; on a group of one rank."""
    from pytest_gpt_dist.inference.exactness import compute_reference

    return compute_reference.compute_reference(job)


def compare_with_transformers(job: TransformersCheckJob) -> float:
    """Compare a row of the reference with transformers' own model; on a group of one rank."""
    from pytest_gpt_dist.inference.exactness import transformers_check

    return transformers_check.compare_with_transformers(job)


def tokenize(folder: str, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, without special tokens, by the tokenizer in ``folder``; on a group of one rank."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return [list(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    except Exception as error:  # whatever reading a broken file brings up
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{folder}: its tokenizer cannot be loaded ({type(error).__name__}: {reason})"
        ) from error
