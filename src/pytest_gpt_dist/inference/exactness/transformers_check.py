"""On a rank: what transformers' own implementation of a model computes, to check the native one against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import release_memory
from pytest_gpt_dist.inference.engines.hugging_face import load_whole_model
from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.inference.messages import TransformersCheckJob


def compare_with_transformers(job: TransformersCheckJob) -> float:
    """Return the reference's largest error, relative to its largest |logit|; on a group of one rank."""
    device = torch.device(this_rank().device)
    try:
        theirs = _logits(job.source, job.token_ids, device)[-job.steps :].cpu().double()
    finally:
        release_memory(device)
    ours = torch.from_numpy(np.load(f"{job.row.path}/logits.npy", mmap_mode="r")[job.row.row].copy()).double()
    return float((ours - theirs).abs().max() / ours.abs().max())


def _logits(source: ModelSource, token_ids: Sequence[int], device: torch.device) -> Tensor:
    """Logits ``[len(token_ids), vocabulary]`` of one forward pass without a cache, in the source's dtype."""
    report_progress("comparing with transformers")
    model = load_whole_model(
        source, lambda done, total: report_progress("loading for transformers", done, total)
    )
    torch.nn.Module.to(model, device)
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([token_ids], device=device), use_cache=False).logits
    return logits[0]
