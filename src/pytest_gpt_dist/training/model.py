"""On a rank: transformers' own module of a model, first without memory, then filled with what the rank holds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedModel

from pytest_gpt_dist.model.checkpoint import Checkpoint
from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.model.loading import fill
from pytest_gpt_dist.model.sharding import Piece
from pytest_gpt_dist.model.weights import CheckpointWeights, RandomWeights, Weights
from pytest_gpt_dist.parallel import Span
from pytest_gpt_dist.training.double_norms import compute_norms_in_double
from pytest_gpt_dist.training.trained_model import TrainedModel

_DROPOUT = ("attn_pdrop", "embd_pdrop", "resid_pdrop", "attention_dropout")


def build_on_meta(model: TrainedModel, dtype: str) -> PreTrainedModel:
    """Return the module without memory for its parameters, in training mode and without dropout.

    Args:
        model: which model.
        dtype: number format of its parameters.
    """
    config = _configuration(model)
    for name in _DROPOUT:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    config.use_cache = False
    implementation = cast(Any, MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    with torch.device("meta"):
        module = implementation._from_config(config, dtype=torch_dtype(dtype))
    module.train(True)
    if dtype == "float64":
        compute_norms_in_double(module)
    return cast(PreTrainedModel, module)


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """Return the transformer layers of a model of transformers, in their order."""
    body: Any = getattr(module, "transformer", None)
    return list(body.h) if body is not None else list(cast(Any, module).model.layers)


def materialize(
    module: nn.Module,
    model: TrainedModel,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Give a module's parameters memory, and fill each with the slice of its tensor that this rank holds.

    Parameters are whole, or DTensors that lie in slices of their first dimension; nothing else is read or made.
    """
    module.to_empty(device=device)
    if model.config.dimensions.tied:
        cast(PreTrainedModel, module).tie_weights()  # what was one tensor is two after the line above
    _make_buffers(module, device)
    parameters = dict(module.named_parameters())
    with open_weights(model, device) as weights, torch.no_grad():
        for done, (name, parameter) in enumerate(parameters.items(), 1):
            fill_slice(weights, name, parameter)
            if report is not None:
                report(done, len(parameters))


@contextmanager
def open_weights(model: TrainedModel, device: torch.device) -> Iterator[Weights]:
    """Yield where values come from: a checkpoint's slices, or random ones."""
    if model.folder is None:
        yield RandomWeights(model.config, model.seed, device)
    else:
        with CheckpointWeights(Checkpoint.open(Path(model.folder), model.config)) as weights:
            yield weights


def fill_slice(weights: Weights, name: str, parameter: Tensor) -> None:
    """Write what a rank holds of the tensor of that name in checkpoints."""
    held, offset = parameter, 0
    if isinstance(parameter, DTensor):
        held = parameter.to_local()
        _, offsets = compute_local_shape_and_global_offset(
            parameter.shape, parameter.device_mesh, parameter.placements
        )
        offset = offsets[0]
    if held.numel():
        columns = Span(0, held.shape[1]) if held.dim() == 2 else None
        fill(held, Piece(name, Span(offset, offset + held.shape[0]), columns), weights)


def _configuration(model: TrainedModel) -> Any:
    if model.folder is None:
        return AutoConfig.for_model(**model.config.to_hf())
    return AutoConfig.from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)


def _make_buffers(module: nn.Module, device: torch.device) -> None:
    """Compute buffers again, which are a function of the configuration: the frequencies of rotary positions."""
    rotary: Any = getattr(getattr(module, "model", None), "rotary_emb", None)
    if rotary is None:
        return
    made = type(rotary)(cast(Any, module).config)
    for name, buffer in made.named_buffers():
        getattr(rotary, name).copy_(buffer)
