"""On a rank: what transformers' own implementation of a model computes, to check the native one against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pytest_gpt_dist.engines.protocol import ModelSource
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.model.weights import RandomWeights
from pytest_gpt_dist.topology import Span


def transformers_logits(source: ModelSource, token_ids: Sequence[int], device: torch.device) -> Tensor:
    """Logits ``[len(token_ids), vocabulary]`` of one forward pass without a cache, in the source's dtype.

    A checkpoint is loaded by transformers itself; random weights are handed over under the names and in the
    shapes of its checkpoints.
    """
    model = _load(source)
    model.train(False)
    torch.nn.Module.to(model, device)
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([token_ids], device=device), use_cache=False).logits
    return logits[0]


def _load(source: ModelSource) -> PreTrainedModel:
    dtype = getattr(torch, source.dtype)
    if source.folder is not None:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source.folder, dtype=dtype, local_files_only=True
        )
        return loaded
    config = AutoConfig.for_model(**source.config.to_hf())
    weights = RandomWeights(source.config, source.seed, torch.device("cpu"))
    tensors = {}
    for name, spec in checkpoint_tensors(source.config).items():
        columns = Span(0, spec.shape[1]) if len(spec.shape) > 1 else None
        tensors[name] = weights.read(name, Span(0, spec.shape[0]), columns).to(dtype)
    implementation = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    return implementation.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype)
