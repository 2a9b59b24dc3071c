"""How a model and its requests are divided over ranks: pure arithmetic, no torch, no processes.

``layout`` says where a rank stands, ``spans`` and ``stages`` what share of the model it holds, ``requests``
which requests a replica gets, and ``expectation`` what a rank that really does all this must hold and
communicate, and ``work`` what it has to read and to compute.
"""

from pytest_gpt_dist.parallel.dimensions import Dimensions
from pytest_gpt_dist.parallel.expected_traffic import (
    Traffic,
    parameter_bytes,
    parameter_count,
    traffic,
)
from pytest_gpt_dist.parallel.layout import Coordinates, Layout
from pytest_gpt_dist.parallel.spans import Span, kv_heads, split
from pytest_gpt_dist.parallel.stages import balance, stages
from pytest_gpt_dist.parallel.work import Passes, decode_bytes, prefill_flops

__all__ = [
    "Coordinates",
    "Dimensions",
    "Layout",
    "Passes",
    "Span",
    "Traffic",
    "balance",
    "decode_bytes",
    "kv_heads",
    "parameter_bytes",
    "parameter_count",
    "prefill_flops",
    "split",
    "stages",
    "traffic",
]
