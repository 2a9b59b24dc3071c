"""On a rank: gradients of step 1, tensor by tensor, against the file of one process's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from safetensors import safe_open
from torch import Tensor

from pytest_gpt_dist.training.exactness.tolerance import GradientErrors, floor_of
from pytest_gpt_dist.training.messages import TrainingReference


class GradientCheck:
    """Compares gradients by name with those of a reference, of which no more than one is in memory at a time."""

    def __init__(self, reference: TrainingReference, dtype: str) -> None:
        self._reference = reference
        self._floor = floor_of(dtype) * reference.norms[0]
        self._by_tensor: dict[str, float] = {}
        self._squares = 0.0
        with safe_open(reference.path, framework="pt") as stored:
            self.names: list[str] = list(stored.keys())

    def compare(self, gradients: Iterable[tuple[str, Tensor]]) -> None:
        """Note how far each gradient is from the reference's; one of a name that is unknown there is infinitely far."""
        with safe_open(self._reference.path, framework="pt") as stored:
            for name, gradient in gradients:
                if name not in self.names or list(stored.get_slice(name).get_shape()) != list(gradient.shape):
                    self._by_tensor[name] = float("inf")
                    continue
                expected = stored.get_tensor(name).double()
                off = torch.linalg.vector_norm(gradient.detach().cpu().double() - expected).item()
                size = torch.linalg.vector_norm(expected).item()
                self._by_tensor[name] = off / max(size, self._floor)
                self._squares += off**2

    def errors(self) -> GradientErrors:
        """Return how far they are."""
        total = self._squares**0.5 / self._reference.norms[0]
        return GradientErrors(self._by_tensor, total)
