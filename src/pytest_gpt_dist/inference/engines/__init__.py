"""What executes a generation on a rank group."""

from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
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
