"""On a rank: teacher forcing, which decodes the tokens of a reference and notes how far the logits are from its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan

import numpy as np
import torch
from torch import Tensor

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines.protocol import Batch, Microbatch, Sampler, SamplesItself
from pytest_gpt_dist.inference.messages import REFERENCE_FILES, ReferenceRow
from pytest_gpt_dist.parallel import Span


class TeacherForcing:
    """A sampler that returns the reference's tokens and compares what it was given.

    Each rank compares its own slice of the vocabulary; the greedy choice that it is compared with goes
    through the given sampler, so that the ranks communicate as they do when timed.
    """

    def __init__(self, rows: Mapping[int, ReferenceRow], vocabulary: Span, greedy: Sampler) -> None:
        self.errors: dict[int, float] = dict.fromkeys(rows, 0.0)
        self.compared: dict[int, int] = dict.fromkeys(rows, 0)
        self.tokens_equal = True
        self._greedy = greedy
        self._rows = rows
        self._vocabulary = vocabulary
        self._expected: dict[int, _Expected] = {}

    @property
    def max_error(self) -> float:
        """The largest error over all requests that this rank saw."""
        return max(self.errors.values(), default=0.0)

    def __call__(self, microbatch: Microbatch, step: int, logits: Tensor) -> Tensor:
        """Compare ``logits`` [requests, own vocabulary] and return the reference's tokens [requests]."""
        chosen = self._greedy(microbatch, step, logits)
        expected = [self._read(request.index) for request in microbatch.requests]
        expected_tokens = torch.stack([each.tokens[step] for each in expected])
        for request in microbatch.requests:
            self.compared[request.index] += 1
        self.tokens_equal &= bool((chosen.cpu() == expected_tokens).all())
        if logits.shape[-1]:
            for row, request, each in zip(logits, microbatch.requests, expected, strict=True):
                difference = row.cpu().double() - each.logits[step].double()
                error = float(difference.abs().max()) / each.scale
                self.errors[request.index] = max(self.errors[request.index], inf if isnan(error) else error)
        return expected_tokens.to(logits.device)

    def look_at(self, engine: SamplesItself, batches: Sequence[Batch]) -> None:
        """Compare the logits of an engine that calls no sampler, shown for the reference's tokens."""
        for microbatch in (microbatch for batch in batches for microbatch in batch.microbatches):
            tokens = [
                self._read(request.index).tokens[: microbatch.steps].tolist()
                for request in microbatch.requests
            ]
            logits = engine.forced_logits(microbatch, tokens)
            for step in range(microbatch.steps):
                self(microbatch, step, logits[:, step])

    def _read(self, index: int) -> _Expected:
        if index not in self._expected:
            at = self._rows[index]
            own = self._vocabulary.slice
            try:
                # Mapped, not read: of each row this rank needs its own slice alone.
                all_logits, all_tokens, all_scales = (
                    np.load(f"{at.path}/{name}", mmap_mode="r") for name in REFERENCE_FILES
                )
            except OSError as error:
                raise UsageError(
                    f"the reference cannot be read ({error}); if temporary files are removed while a session runs,"
                    " set TMPDIR to where they are not"
                ) from None
            logits, tokens, scale = all_logits[at.row, :, own], all_tokens[at.row], all_scales[at.row]
            self._expected[index] = _Expected(
                torch.from_numpy(logits.copy()), torch.from_numpy(tokens.copy()), float(scale)
            )
        return self._expected[index]


@dataclass(frozen=True)
class _Expected:
    logits: Tensor
    tokens: Tensor
    scale: float
