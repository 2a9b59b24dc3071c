"""Which model is trained, as a plain value without torch."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.model.config import DecoderConfig


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Its shape, and its checkpoint's folder, or None for random weights of that seed."""

    config: DecoderConfig
    folder: str | None
    seed: int
