"""Rank groups: processes joined in a process group, what one says to them, and how they end.

This side never imports torch; code that runs in a rank finds its own side in `pytest_gpt_dist.cluster.rank`.
"""

from pytest_gpt_dist.cluster.code_version import OWN, Side
from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.failure import RankGroupError
from pytest_gpt_dist.cluster.group import RankGroup
from pytest_gpt_dist.cluster.pool import Cluster
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.cluster.task import Task

__all__ = ["OWN", "Cluster", "ClusterConfig", "Progress", "RankGroup", "RankGroupError", "Side", "Task"]
