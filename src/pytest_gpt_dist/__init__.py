"""Benchmark distributed GPT inference from pytest.

The names below are the public ones; each is imported when first used, so that the plugin costs nothing in
sessions that do not need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_gpt_dist.version import __version__

if TYPE_CHECKING:
    from pytest_gpt_dist.cluster.failure import RankGroupError
    from pytest_gpt_dist.inference.result import GenerationResult as Result
    from pytest_gpt_dist.parallel import Layout
    from pytest_gpt_dist.registry import Registry
    from pytest_gpt_dist.session.fixtures import GptDist, ProcessGroup

__all__ = ["GptDist", "Layout", "ProcessGroup", "RankGroupError", "Registry", "Result", "__version__"]

_HOMES = {
    "GptDist": ("session.fixtures", "GptDist"),
    "Layout": ("parallel", "Layout"),
    "ProcessGroup": ("session.fixtures", "ProcessGroup"),
    "RankGroupError": ("cluster.failure", "RankGroupError"),
    "Registry": ("registry", "Registry"),
    "Result": ("inference.result", "GenerationResult"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
