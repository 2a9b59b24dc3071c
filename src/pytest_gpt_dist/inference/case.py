"""A case made concrete: everything that decides its numbers, resolved before any rank starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_gpt_dist.config.choices import Batching
from pytest_gpt_dist.inference.batching import padding_fraction, plan
from pytest_gpt_dist.inference.engines.protocol import Batch, ModelSource, Request
from pytest_gpt_dist.inference.workload import Workload
from pytest_gpt_dist.parallel import Layout


@dataclass(frozen=True)
class Case:
    """Strategy × device count × workload × engine.

    ``strategy`` is a name, or the layout's id where degrees were given outright; ``degenerate`` names the
    strategy that has the same layout; ``model_name`` is as it is saved, and ``model_content`` the hash of its files
    where it has any; ``engine_path`` is the engine's import path, resolved on the ranks.
    """

    strategy: str
    layout: Layout
    degenerate: str | None
    engine: str
    engine_path: str
    workload: Workload
    model_name: str
    source: ModelSource
    tokenizer: str
    requests: tuple[Request, ...]
    engine_version: str | None = None
    model_content: str | None = None

    def __str__(self) -> str:
        return f"{self.engine} on {self.layout}, {len(self.requests)} requests"

    @property
    def gpus(self) -> int:
        """Devices of the world."""
        return self.layout.world_size

    @property
    def dtype(self) -> str:
        """Number format of weights and cache."""
        return self.workload.dtype

    @cached_property
    def batches(self) -> tuple[tuple[Batch, ...], ...]:
        """The batches of each replica, one after the other, split into microbatches."""
        return self._batches(self.workload.batching)

    @property
    def padding_fraction(self) -> float:
        """Share of the prompt positions computed that is padding."""
        return padding_fraction(self.batches)

    @cached_property
    def padding_fraction_in_order(self) -> float:
        """The share that it would be if requests were worked on in their order."""
        return padding_fraction(self._batches("in-order"))

    @property
    def model_identity(self) -> str:
        """What is the same for the same model, wherever its files are and whatever they are called."""
        return self.model_content or self.model_name

    @property
    def weights(self) -> str:
        """``random`` or ``pretrained``."""
        return "random" if self.source.folder is None else "pretrained"

    @property
    def prompt_tokens(self) -> int | list[int]:
        """The one length of all prompts, or the length of each."""
        return _one_or_all([len(request.prompt) for request in self.requests])

    @cached_property
    def prompts_sha256(self) -> str:
        """Stands for the prompts' token ids."""
        return hashlib.sha256(repr([request.prompt for request in self.requests]).encode()).hexdigest()

    @property
    def new_tokens(self) -> int | list[int]:
        """The one number of tokens to generate for all requests, or that of each."""
        return _one_or_all([request.new_tokens for request in self.requests])

    @property
    def sampling(self) -> dict[str, Any]:
        """How tokens are chosen, as it is saved."""
        sampling = self.workload.sampling
        return {
            "greedy": not sampling.on,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "repetition_penalty": sampling.repetition_penalty,
        }

    def _batches(self, batching: Batching) -> tuple[tuple[Batch, ...], ...]:
        workload = self.workload
        return plan(
            self.requests,
            self.layout,
            workload.batch_size,
            workload.scaling,
            workload.microbatches,
            batching=batching,
            token_budget=workload.token_budget,
        )


def _one_or_all(values: list[int]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else values
