"""On a rank: torch's optimizers as a recipe asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pytest_gpt_dist.training.recipe import Recipe


class StepsParameters(Protocol):
    """An optimizer, as far as a step knows it."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Change the parameters by their gradients."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let go of the gradients."""
        ...


def make_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer of parameters that are already divided.

    The implementation is always the one that takes tensors together: the fused one differs in the last bits.
    """
    kind, numbers = optimizer_class(recipe)
    return kind(parameters, **numbers)


def optimizer_class(recipe: Recipe) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the class, and the arguments beside the parameters."""
    shared = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "foreach": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD, shared
    return torch.optim.AdamW, shared | {"betas": recipe.betas, "eps": recipe.eps}


def state_tensors(optimizer: Any) -> list[Tensor]:
    """Return every tensor that an optimizer keeps on this rank, the counters of its steps included."""
    inner = getattr(optimizer, "optim", optimizer)  # what ZeroRedundancyOptimizer keeps of its own share
    return [value for state in inner.state.values() for value in state.values() if isinstance(value, Tensor)]
