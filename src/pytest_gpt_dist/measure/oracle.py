"""On a rank: what transformers' own implementation of a model computes, to check the native one against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.engines.protocol import ModelSource
from pytest_gpt_dist.measure.job import OracleJob
from pytest_gpt_dist.measure.memory import release_memory
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.model.weights import RandomWeights
from pytest_gpt_dist.topology import Span


def compare_with_transformers(job: OracleJob) -> float:
    """Runs on a group of one rank: the reference's largest error, relative to its largest |logit|."""
    device = torch.device(this_rank().device)
    try:
        theirs = _logits(job.source, job.token_ids, device)[-job.steps :].cpu().double()
    finally:
        release_memory(device)
    ours = torch.from_numpy(np.load(f"{job.row.path}/logits.npy", mmap_mode="r")[job.row.row].copy()).double()
    return float((ours - theirs).abs().max() / ours.abs().max())


def _logits(source: ModelSource, token_ids: Sequence[int], device: torch.device) -> Tensor:
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
    report_progress("comparing with transformers")
    if source.folder is not None:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source.folder, dtype=dtype, local_files_only=True
        )
        return loaded
    config = AutoConfig.for_model(**source.config.to_hf())
    weights = RandomWeights(source.config, source.seed, torch.device("cpu"))
    tensors = {}
    specs = checkpoint_tensors(source.config)
    for done, (name, spec) in enumerate(specs.items()):
        report_progress("loading for transformers", done, len(specs))
        columns = Span(0, spec.shape[1]) if len(spec.shape) > 1 else None
        tensors[name] = weights.read(name, Span(0, spec.shape[0]), columns).to(dtype)
    implementation = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    return implementation.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype)
