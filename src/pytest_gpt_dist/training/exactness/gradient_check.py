"""On a rank: gradients of step 1, or parameters after the last one, against the file of one process's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from safetensors import safe_open
from torch import Tensor

from pytest_gpt_dist.training.exactness.tolerance import GradientErrors


class GradientCheck:
    """Compares tensors by name with those of a file, of which no more than one is in memory at a time.

    Args:
        path: the file of one process's.
        norm: of all of its tensors together.
        floor: share of that below which a tensor's own norm does not count as its size.
    """

    def __init__(self, path: str, norm: float, floor: float) -> None:
        self._path = path
        self._norm = norm
        self._floor = floor * norm
        self._by_tensor: dict[str, float] = {}
        self._squares = 0.0
        with safe_open(path, framework="pt") as stored:
            self.names: list[str] = list(stored.keys())

    def compare(self, gradients: Iterable[tuple[str, Tensor]]) -> None:
        """Note how far each tensor is from the file's; one of a name that is unknown there is infinitely far."""
        with safe_open(self._path, framework="pt") as stored:
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
        total = self._squares**0.5 / self._norm
        return GradientErrors(self._by_tensor, total)
