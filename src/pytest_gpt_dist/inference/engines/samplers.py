"""The samplers that a workload's sampling asks for."""

import torch

from pytest_gpt_dist.inference.engines.protocol import Microbatch, Sampler, Sampling
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.model.sampling import draw, gather_logits, greedy, penalise, sample
from pytest_gpt_dist.model.upload import upload
from pytest_gpt_dist.parallel import split


def make_sampler(sampling: Sampling, vocabulary: int, mesh: Mesh) -> Sampler:
    """Return what chooses tokens by these rules, with one all-gather a token where the vocabulary is shared.

    Args:
        sampling: the rules.
        vocabulary: number of tokens of the model.
        mesh: the ranks that share it.
    """
    return (
        MultinomialSampler(sampling, vocabulary, mesh)
        if sampling.on
        else GreedySampler(sampling, vocabulary, mesh)
    )


def takes_largest(sampler: Sampler) -> bool:
    """Whether a sampler takes the largest logit and does nothing else, as libraries do by themselves."""
    return isinstance(sampler, GreedySampler) and sampler.plain


class _Penalty:
    """Remembers which tokens of a slice of the vocabulary each row has seen, by microbatch."""

    def __init__(self, penalty: float, start: int) -> None:
        self._penalty = penalty
        self._start = start
        self._seen: dict[int, torch.Tensor] = {}

    def apply(self, microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
        if self._penalty == 1:
            return logits
        key = microbatch.requests[0].index
        if step == 0:
            self._seen[key] = self._prompts(microbatch, logits)
        return penalise(logits, self._seen[key], self._penalty)

    def note(self, microbatch: Microbatch, tokens: torch.Tensor) -> None:
        if self._penalty == 1:
            return
        seen = self._seen[microbatch.requests[0].index]
        local = torch.arange(self._start, self._start + seen.shape[1], device=seen.device)
        seen |= tokens[:, None] == local

    def _prompts(self, microbatch: Microbatch, logits: torch.Tensor) -> torch.Tensor:
        seen = torch.zeros(logits.shape, dtype=torch.bool)
        for row, request in enumerate(microbatch.requests):
            local = torch.tensor(request.prompt) - self._start
            seen[row, local[(local >= 0) & (local < seen.shape[1])]] = True
        return upload(seen, logits.device)


class GreedySampler:
    """Takes the largest logit, after any repetition penalty; full logits are never gathered."""

    def __init__(self, sampling: Sampling, vocabulary: int, mesh: Mesh) -> None:
        self._group = mesh if mesh.layout.tp > 1 else None
        self._own = split(vocabulary, mesh.layout.tp)[mesh.at.tp]
        self._penalty = _Penalty(sampling.repetition_penalty, self._own.start)
        self.plain = sampling.repetition_penalty == 1

    def __call__(self, microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
        """Choose; see :class:`~pytest_gpt_dist.inference.engines.protocol.Sampler`."""
        tokens = greedy(self._penalty.apply(microbatch, step, logits), self._own, self._group)
        self._penalty.note(microbatch, tokens)
        return tokens


class MultinomialSampler:
    """Draws from the whole distribution, on every tensor-parallel rank alike."""

    def __init__(self, sampling: Sampling, vocabulary: int, mesh: Mesh) -> None:
        self._sampling = sampling
        self._group = mesh if mesh.layout.tp > 1 else None
        self._spans = split(vocabulary, mesh.layout.tp)
        self._penalty = _Penalty(sampling.repetition_penalty, 0)
        self._draws: dict[int, torch.Tensor] = {}

    def __call__(self, microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
        """Choose; see :class:`~pytest_gpt_dist.inference.engines.protocol.Sampler`."""
        whole = gather_logits(logits, self._spans, self._group)
        whole = self._penalty.apply(microbatch, step, whole)
        key = microbatch.requests[0].index
        if step == 0:
            # All at once, because a copy to the device in each step would have to wait for it.
            self._draws[key] = upload(self._table(microbatch), logits.device)
        sampling = self._sampling
        tokens = sample(whole, self._draws[key][:, step], sampling.temperature, sampling.top_p)
        self._penalty.note(microbatch, tokens)
        return tokens

    def _table(self, microbatch: Microbatch) -> torch.Tensor:
        return torch.tensor(
            [
                [
                    draw(self._sampling.seed, request.index, len(request.prompt) + step)
                    for step in range(microbatch.steps)
                ]
                for request in microbatch.requests
            ],
            dtype=torch.float64,
        )
