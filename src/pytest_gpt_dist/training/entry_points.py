"""What the controller calls on ranks. It does without torch, so each function imports its own when it runs there."""

from __future__ import annotations

from pytest_gpt_dist.training.messages import ReferenceJob, TrainingReference


def compute_reference(job: ReferenceJob) -> TrainingReference:
    """Train by one process; on a group of one rank."""
    from pytest_gpt_dist.training.exactness import compute_reference

    return compute_reference.compute_reference(job)
