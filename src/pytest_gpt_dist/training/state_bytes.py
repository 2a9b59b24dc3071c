"""On a rank: how many bytes of parameters, gradients and optimizer state it really holds."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from pytest_gpt_dist.parallel.training_state import StateBytes
from pytest_gpt_dist.training.clipping import local
from pytest_gpt_dist.training.optimizer import state_tensors
from pytest_gpt_dist.training.strategy import Trainee


def held_state(trainee: Trainee) -> StateBytes:
    """Return what is held between the backward pass and the optimizer, when gradients exist."""
    parameters = trainee.parameters()
    return StateBytes(
        parameters=held_bytes(parameters),
        gradients=held_bytes(parameter.grad for parameter in parameters if parameter.grad is not None),
        optimizer=held_bytes(state_tensors(trainee.optimizer)),
    )


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the memory behind tensors, padding included, and what several of them share counted once."""
    storages = {}
    for tensor in tensors:
        storage = local(tensor).untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
