"""Hooks that other plugins and conftest.py files may implement."""

from __future__ import annotations

import pytest

from pytest_gpt_dist.registry import Registry


@pytest.hookspec
def pytest_gpt_dist_register(registry: Registry) -> None:
    """Add strategies, engines and models by import path: ``registry.add_engine("mine", "package.module:Class")``."""
