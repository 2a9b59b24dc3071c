"""Hooks that other plugins and conftest.py files may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gpt_dist.compare.verdict import Verdict
    from pytest_gpt_dist.registry import Registry


@pytest.hookspec
def pytest_gpt_dist_register(registry: Registry) -> None:
    """Add strategies, engines, models and modes by import path: ``registry.add_engine("mine", "package:Class")``."""


@pytest.hookspec
def pytest_gpt_dist_verdict(verdict: Verdict) -> None:
    """Send a verdict elsewhere; called for each case when the session ends."""
