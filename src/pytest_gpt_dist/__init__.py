"""Benchmark distributed GPT inference from pytest."""

__version__ = "0.1.0"
