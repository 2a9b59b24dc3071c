"""What ``scripts.launch_time`` has ranks do; a script's own functions cannot be sent to them."""

from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.engines.native import NativeEngine
from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.parallel import Layout


def load(source: ModelSource, layout: Layout) -> int:
    """Load this rank's share of a model, and return its bytes."""
    return NativeEngine(source, Mesh(layout, this_rank())).parameter_bytes
