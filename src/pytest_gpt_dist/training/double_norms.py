"""On a rank: norms of transformers' modules in float64, where its own compute in float32.

A gradient that ranks have parts of would be rounded to float32 part by part, and one process rounds their sum: in a
float64 that is none, nothing could be told from rounding.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def compute_norms_in_double(module: nn.Module) -> None:
    """Have every RMSNorm of a module keep the number format of what comes in."""
    for each in module.modules():
        if type(each).__name__.endswith("RMSNorm"):
            each.forward = MethodType(_rms_norm, each)


def _rms_norm(self: Any, x: Tensor) -> Tensor:
    scaled: Tensor = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))
    return scaled
