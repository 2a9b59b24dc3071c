"""What one process comes to, computed once a session for all cases that train on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_gpt_dist.cluster import Progress, RankGroup, RankGroupError
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.entry_points import compute_reference
from pytest_gpt_dist.training.messages import ReferenceJob, TrainingReference, TrainingWork
from pytest_gpt_dist.training.tuning import PLAIN


class ReferenceCache:
    """Computes references on a group of one rank; their gradients lie in the session's scratch folder."""

    def __init__(self, scratch: Callable[[], Path]) -> None:
        self._scratch = scratch
        self._found: dict[tuple[TrainingWork, int, int], TrainingReference | None] = {}

    def get(
        self,
        work: TrainingWork,
        batches: BatchPlan,
        one_rank: Callable[[], RankGroup],
        on_progress: Callable[[int, Progress], None],
    ) -> TrainingReference | None:
        """Return the reference of rows in microbatches of a size; None where one process has no memory for it."""
        # What is computed again or how gradients are put together changes nothing of what one process comes to.
        work = replace(work, checkpointing=0, bucket_mb=None, tuning=PLAIN)
        key = (work, batches.rows, batches.micro)
        found = self._found.get(key)
        if key not in self._found or (found is not None and not Path(found.path).is_file()):
            path = self._scratch() / f"gradients-{len(self._found)}.safetensors"
            try:
                (found,) = one_rank().run(
                    compute_reference, ReferenceJob(work, batches, str(path)), on_progress=on_progress
                )
            except RankGroupError as error:
                if error.kind != "memory":
                    raise
                found = None
            self._found[key] = found
        return found
