"""An alias of `pytest_gpt_dist.inference.engines.native`."""

from pytest_gpt_dist.inference.engines.native import (
    CompiledNativeEngine,
    EagerNativeEngine,
    NativeEngine,
)

__all__ = [
    "CompiledNativeEngine",
    "EagerNativeEngine",
    "NativeEngine",
]
