"""Figures that a machine may not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def told(ask: Callable[..., T], *args: Any) -> T | None:
    """Return the answer, or None where there is none.

    Kernels, sandboxes, drivers and the libraries that ask them have many ways to refuse, warnings that are
    errors among them, and no figure beside the times is worth the times.
    """
    try:
        return ask(*args)
    except Exception:
        return None
