"""The models that the scripts know by their names."""

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Dimensions
from pytest_gpt_dist.registry import Registry, builtin


def preset_config(model: str) -> DecoderConfig:
    """Return what a preset is; UsageError where there is none of that name."""
    registry = Registry()
    builtin(registry)
    config: DecoderConfig = registry.model(model).config
    return config


def preset_dimensions(model: str) -> Dimensions:
    """Return the sizes of a preset; UsageError where there is none of that name."""
    return preset_config(model).dimensions
