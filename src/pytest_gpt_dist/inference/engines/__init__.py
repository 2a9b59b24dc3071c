"""What executes a generation on a rank group."""

from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Chooser,
    ChoosesItself,
    Engine,
    EngineFactory,
    Microbatch,
    ModelSource,
    Request,
    Sampling,
    Stopwatch,
    Task,
)

__all__ = [
    "Batch",
    "Chooser",
    "ChoosesItself",
    "Engine",
    "EngineFactory",
    "Microbatch",
    "ModelSource",
    "Request",
    "Sampling",
    "Stopwatch",
    "Task",
]
