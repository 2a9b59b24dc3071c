"""Benchmark distributed GPT inference from pytest.

The names below are the public ones; each is imported when first used, so that the plugin costs nothing in
sessions that do not need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_gpt_dist.version import __version__

if TYPE_CHECKING:
    from pytest_gpt_dist.cluster.failure import RankGroupError
    from pytest_gpt_dist.measure.result import Result
    from pytest_gpt_dist.parallel import Layout
    from pytest_gpt_dist.registry import Registry
    from pytest_gpt_dist.session.fixtures import GptDist, ProcessGroup

__all__ = ["GptDist", "Layout", "ProcessGroup", "RankGroupError", "Registry", "Result", "__version__"]

_HOMES = {
    "GptDist": "session.fixtures",
    "Layout": "parallel",
    "ProcessGroup": "session.fixtures",
    "RankGroupError": "cluster.failure",
    "Registry": "registry",
    "Result": "measure.result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
