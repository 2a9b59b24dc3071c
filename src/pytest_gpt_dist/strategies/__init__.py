"""Named rules from a device count to a layout, one file each."""

from pytest_gpt_dist.parallel.strategy import Strategy, degenerate

__all__ = ["Strategy", "degenerate"]
