"""An alias of `pytest_gpt_dist.inference.engines.protocol`."""

from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Chooser,
    ChoosesItself,
    CommunicatesItself,
    Engine,
    EngineFactory,
    Microbatch,
    ModelSource,
    Request,
    Sampler,
    SamplesItself,
    Sampling,
    Stopwatch,
    Task,
)

__all__ = [
    "Batch",
    "Chooser",
    "ChoosesItself",
    "CommunicatesItself",
    "Engine",
    "EngineFactory",
    "Microbatch",
    "ModelSource",
    "Request",
    "Sampler",
    "SamplesItself",
    "Sampling",
    "Stopwatch",
    "Task",
]
