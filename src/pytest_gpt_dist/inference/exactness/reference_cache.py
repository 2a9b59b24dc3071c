"""The single-device references of a session: computed once for each prompt, kept as files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_gpt_dist.cluster import Progress, RankGroup, RankGroupError
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Request
from pytest_gpt_dist.inference.entry_points import compare_with_transformers, compute_reference
from pytest_gpt_dist.inference.exactness.tolerance import Exactness, checked_steps, reference_dtype
from pytest_gpt_dist.inference.messages import (
    REFERENCE_FILES,
    Check,
    ReferenceJob,
    ReferenceRow,
    TransformersCheckJob,
)
from pytest_gpt_dist.inference.weight_cache_policy import WeightCachePolicy
from pytest_gpt_dist.measure.result import WrongResultError


@dataclass(frozen=True)
class Reference:
    """The check of a case, and the greedy tokens that its first steps must produce, by request index."""

    check: Check
    tokens: dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class _Entry:
    row: ReferenceRow
    tokens: tuple[int, ...]
    own_error: float | None


class ReferenceCache:
    """Keeps, by model and prompt, what one device computes.

    The native one-device layout is the reference, which is itself compared with transformers' own
    implementation, once for each model.
    """

    def __init__(self, scratch: Callable[[], Path], weight_cache_policy: WeightCachePolicy) -> None:
        self._scratch = scratch
        self._weight_cache_policy = weight_cache_policy
        self._entries: dict[tuple[ModelSource, int, tuple[int, ...]], _Entry] = {}
        self._compared: dict[ModelSource, bool] = {}
        self._too_large: set[ModelSource] = set()
        self._computed = 0

    def get(
        self,
        source: ModelSource,
        requests: Sequence[Request],
        one_rank: Callable[[], RankGroup],
        on_progress: Callable[[int, Progress], None],
    ) -> Reference | None:
        """Return the reference of these requests; None if the model does not fit on one device."""
        if source in self._too_large:
            return None
        longest = max(len(request.prompt) for request in requests)
        steps = checked_steps(longest, source.config.dimensions.positions)
        keys = {request.index: (source, steps, request.prompt) for request in requests}
        self._forget_removed()
        missing = tuple(dict.fromkeys(key[2] for key in keys.values() if key not in self._entries))
        if missing:
            try:
                self._compute(source, missing, steps, one_rank(), on_progress)
            except RankGroupError as error:
                if error.kind != "memory":
                    raise
                self._too_large.add(source)
                return None
        entries = {index: self._entries[key] for index, key in keys.items()}
        own_errors = [entry.own_error for entry in entries.values() if entry.own_error is not None]
        check = Check(
            {index: entry.row for index, entry in entries.items()}, steps, max(own_errors, default=None)
        )
        return Reference(check, {index: entry.tokens for index, entry in entries.items()})

    def _compute(
        self,
        source: ModelSource,
        prompts: tuple[tuple[int, ...], ...],
        steps: int,
        group: RankGroup,
        on_progress: Callable[[int, Progress], None],
    ) -> None:
        path = str(self._scratch() / f"reference-{self._computed}")
        self._computed += 1
        job = ReferenceJob(self._weight_cache_policy.for_reference(source), prompts, steps, path)
        try:
            (report,) = group.run(compute_reference, job, on_progress=on_progress)
        except BaseException:  # a rank that died cannot make room again
            shutil.rmtree(path, ignore_errors=True)
            raise
        for row, (prompt, tokens) in enumerate(zip(prompts, report.tokens, strict=True)):
            own_error = report.own_errors[row] if report.own_errors is not None else None
            self._entries[source, steps, prompt] = _Entry(ReferenceRow(path, row), tokens, own_error)

    def _forget_removed(self) -> None:
        """Compute again what has lost its files, as where a temporary folder is cleaned of what is old."""
        there = {
            path: all((Path(path) / name).is_file() for name in REFERENCE_FILES)
            for path in {entry.row.path for entry in self._entries.values()}
        }
        self._entries = {key: entry for key, entry in self._entries.items() if there[entry.row.path]}

    def compare_with_transformers(
        self,
        source: ModelSource,
        reference: Reference,
        request: Request,
        one_rank: Callable[[], RankGroup],
        on_progress: Callable[[int, Progress], None],
    ) -> bool:
        """Whether the model's reference was compared with transformers, once; False if there is no memory for it.

        Raises WrongResultError if they disagree.
        """
        if source not in self._compared:
            row, tokens = reference.check.rows[request.index], reference.tokens[request.index]
            exact = replace(source, dtype=reference_dtype(source.dtype))
            job = TransformersCheckJob(exact, request.prompt + tokens[:-1], reference.check.steps, row)
            try:
                (error,) = one_rank().run(compare_with_transformers, job, on_progress=on_progress)
            except RankGroupError as failure:
                if failure.kind != "memory":
                    raise
                error = None
            # Float32's bound for float64 too: transformers' RMSNorm is in float32 whatever the model's format.
            if error is not None and not (found := Exactness("float32", error, True)).matches_reference:
                raise WrongResultError(
                    f"the one-device reference disagrees with transformers: {found.describe()}"
                )
            self._compared[source] = error is not None
        return self._compared[source]
