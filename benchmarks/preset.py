"""The sizes of a model that the scripts know by its name."""

from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.topology import Dimensions


def preset_dimensions(model: str) -> Dimensions:
    """The sizes of a preset; UsageError where there is none of that name."""
    registry = Registry()
    builtin(registry)
    return registry.model(model).config.dimensions
