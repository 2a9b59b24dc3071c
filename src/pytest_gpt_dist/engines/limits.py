"""An alias of `pytest_gpt_dist.inference.engines.capabilities`."""

from pytest_gpt_dist.inference.engines.capabilities import (
    Limits,
)

__all__ = [
    "Limits",
]
