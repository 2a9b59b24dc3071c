"""On a rank: the single-device reference, written to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.device import release_memory
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines.native import EagerNativeEngine
from pytest_gpt_dist.inference.engines.protocol import (
    Microbatch,
    ModelSource,
    Request,
    Sampler,
    Sampling,
)
from pytest_gpt_dist.inference.engines.samplers import make_sampler
from pytest_gpt_dist.inference.exactness.teacher_forcing import TeacherForcing
from pytest_gpt_dist.inference.exactness.tolerance import reference_dtype
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.inference.messages import (
    REFERENCE_FILES,
    ReferenceJob,
    ReferenceReport,
    ReferenceRow,
)
from pytest_gpt_dist.parallel import Layout

_ROWS_AT_ONCE = 8


def compute_reference(job: ReferenceJob) -> ReferenceReport:
    """Write the arrays that ``ReferenceRow`` describes to the folder ``job.path``; on a group of one rank."""
    exact = replace(job.source, dtype=reference_dtype(job.source.dtype))
    requests = [Request(index, prompt, job.steps) for index, prompt in enumerate(job.prompts)]

    recorded: list[list[Tensor]] = [[] for _ in requests]
    tokens = _generate(exact, requests, lambda engine, greedy: _Recording(recorded, greedy))
    logits = torch.stack([torch.stack(steps) for steps in recorded])
    recorded.clear()
    if not bool(torch.isfinite(logits).all()):
        raise UsageError(
            f"the model's logits are not finite on one device in {exact.dtype}:"
            " its weights hold NaN or infinity, or values that overflow"
        )
    scale = logits.abs().amax((1, 2))
    folder = Path(job.path)
    try:
        folder.mkdir()
        for name, array in zip(
            REFERENCE_FILES, (logits.numpy(), np.array(tokens), scale.numpy()), strict=True
        ):
            np.save(folder / name, array)
    except OSError as error:
        raise UsageError(
            f"cannot write the reference to {folder} ({error}); set TMPDIR to a disk with room"
        ) from None

    own_errors = None
    if job.source.dtype != exact.dtype:
        rows = {request.index: ReferenceRow(job.path, request.index) for request in requests}
        seen: list[TeacherForcing] = []

        def teacher_forcing(engine: EagerNativeEngine, greedy: Sampler) -> TeacherForcing:
            seen.append(TeacherForcing(rows, engine.vocabulary, greedy))
            return seen[-1]

        _generate(job.source, requests, teacher_forcing)
        own_errors = tuple(seen[0].errors[request.index] for request in requests)
    return ReferenceReport(tokens, own_errors)


class _Recording:
    """A sampler that keeps the logits that it sees."""

    def __init__(self, recorded: Sequence[list[Tensor]], greedy: Sampler) -> None:
        self._recorded = recorded
        self._greedy = greedy

    def __call__(self, microbatch: Microbatch, step: int, logits: Tensor) -> Tensor:
        for request, row in zip(microbatch.requests, logits, strict=True):
            self._recorded[request.index].append(row.cpu().clone())
        return self._greedy(microbatch, step, logits)


def _generate(
    source: ModelSource, requests: Sequence[Request], make: Callable[[EagerNativeEngine, Sampler], Sampler]
) -> tuple[tuple[int, ...], ...]:
    mesh = Mesh(Layout(), this_rank())
    (batches,) = plan(requests, Layout(), _ROWS_AT_ONCE, "weak", None)
    engine = EagerNativeEngine(source, mesh, lambda done, total: report_progress("loading", done, total))
    try:
        greedy = make_sampler(Sampling(), source.config.dimensions.vocabulary, mesh)
        sampler = make(engine, greedy)
        tokens: dict[int, list[int]] = {}
        for number, batch in enumerate(batches):
            report_progress("computing the reference", number, len(batches))
            tokens |= engine.generate([batch], sampler, None)
    finally:
        engine.close()
        del engine
        release_memory(mesh.device)
    return tuple(tuple(tokens[request.index]) for request in requests)
