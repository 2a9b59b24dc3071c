"""The hook of one table for each workload, by the name under which users' ``conftest.py`` import it."""

from pytest_gpt_dist.session.grouping import group_by_workload

__all__ = ["group_by_workload"]
