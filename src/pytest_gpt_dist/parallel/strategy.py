"""What a strategy is, and when two of them are the same."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout


class Strategy(Protocol):
    """A named rule from a device count to a layout."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    def layout(self, gpus: int) -> Layout:
        """Return the layout for a number of devices of at least 1; its world size is that number.

        Raises:
            UsageError: when the rule has no layout for that number.
        """
        ...


def degenerate(strategy: Strategy, gpus: int, others: Sequence[Strategy]) -> str | None:
    """Say which strategy this one is no different from at a device count.

    Args:
        strategy: the strategy in question.
        gpus: number of devices.
        others: all strategies in the order they are listed in; only those before ``strategy`` are asked, so
            that of two equal ones the first keeps its own name.

    Returns:
        The name of the first earlier strategy with the same layout, or None.
    """
    layout = strategy.layout(gpus)
    for other in others:
        if other.name == strategy.name:
            break
        with suppress(UsageError):  # one that has no layout for this number is no other name for this one
            if other.layout(gpus) == layout:
                return other.name
    return None
