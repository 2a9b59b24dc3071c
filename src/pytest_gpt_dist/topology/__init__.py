"""How a model and its requests are divided over ranks: pure arithmetic, no torch, no processes.

``layout`` says where a rank stands, ``spans`` and ``stages`` what share of the model it holds, ``requests``
which requests a replica gets, and ``expectation`` what a rank that really does all this must hold and
communicate.
"""

from pytest_gpt_dist.topology.dimensions import Dimensions
from pytest_gpt_dist.topology.expectation import Traffic, parameter_bytes, parameter_count, traffic
from pytest_gpt_dist.topology.layout import Coordinates, Layout
from pytest_gpt_dist.topology.requests import deal
from pytest_gpt_dist.topology.spans import Span, kv_heads, split
from pytest_gpt_dist.topology.stages import balance, stages

__all__ = [
    "Coordinates",
    "Dimensions",
    "Layout",
    "Span",
    "Traffic",
    "balance",
    "deal",
    "kv_heads",
    "parameter_bytes",
    "parameter_count",
    "split",
    "stages",
    "traffic",
]
