"""What a strategy is, and when two of them are the same."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan


class LayoutStrategy(Protocol):
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


@runtime_checkable
class PlanningStrategy(Protocol):
    """A strategy that says more than a layout: how the state of a training is divided, and by which library."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    def plan(self, gpus: int) -> ParallelPlan:
        """Return the plan for a number of devices of at least 1; its world size is that number.

        Raises:
            UsageError: when the rule has no plan for that number.
        """
        ...


Strategy = LayoutStrategy | PlanningStrategy


def plan_of(strategy: Strategy, gpus: int) -> ParallelPlan:
    """Return what a strategy makes of a device count; one that gives a layout alone divides no state.

    Raises:
        UsageError: when the rule has nothing for that number, or something for another one.
    """
    made = (
        strategy.plan(gpus) if isinstance(strategy, PlanningStrategy) else ParallelPlan(strategy.layout(gpus))
    )
    if made.world_size != gpus:
        raise UsageError(
            f"strategy {strategy.name!r}: its layout for {gpus} devices, {made.layout}, is of {made.world_size}"
        )
    return made


def degenerate(strategy: Strategy, gpus: int, others: Sequence[Strategy]) -> str | None:
    """Return which strategy this one is no different from at a device count.

    Args:
        strategy: the strategy in question.
        gpus: number of devices.
        others: all strategies in the order they are listed in; only those before ``strategy`` are asked, so
            that of two equal ones the first keeps its own name.

    Returns:
        The name of the first earlier strategy with the same plan, or None.
    """
    plan = plan_of(strategy, gpus)
    for other in others:
        if other.name == strategy.name:
            break
        with suppress(UsageError):  # one that has no plan for this number is no other name for this one
            if plan_of(other, gpus) == plan:
                return other.name
    return None


def divisors(gpus: int) -> tuple[int, ...]:
    """Return the divisors of a device count, ascending.

    Raises:
        UsageError: when it is no number of devices.
    """
    device_count(gpus)
    return tuple(divisor for divisor in range(1, gpus + 1) if gpus % divisor == 0)


def smallest_degree(gpus: int) -> int:
    """Return the smallest degree above 1 that divides the device count, or 1 for a single device."""
    return divisors(gpus)[:2][-1]


class FullModelParallel:
    """A single replica, its devices arranged as nearly square as they go, tensor parallelism the larger side.

    4 devices are ``pp2·tp2``, 8 are ``pp2·tp4``, 16 are ``pp4·tp4``; a prime count is tensor parallel alone.
    """

    name = "full_model_parallel"

    def layout(self, gpus: int) -> Layout:
        """Return ``tp`` = the smallest divisor whose square is at least ``gpus``, and ``pp`` = the rest."""
        tp = next(divisor for divisor in divisors(gpus) if divisor * divisor >= gpus)
        return Layout(pp=gpus // tp, tp=tp)


class PipelineDataHybrid:
    """Replicas whose layers are lined up over the fewest devices that divide the count.

    That is two for an even count, three for 3 and 9, and all of them for a prime count.
    """

    name = "pipeline_data_hybrid"

    def layout(self, gpus: int) -> Layout:
        """Return ``pp`` = the smallest divisor of ``gpus`` above 1, and ``dp`` = the rest."""
        pp = smallest_degree(gpus)
        return Layout(dp=gpus // pp, pp=pp)


class PureDataParallel:
    """One replica a device; no communication while generating."""

    name = "pure_data_parallel"

    def layout(self, gpus: int) -> Layout:
        """Return ``dp = gpus``."""
        return Layout(dp=divisors(gpus)[-1])


class TensorDataHybrid:
    """Replicas whose layers are each cut over the fewest devices that divide the count.

    That is two for an even count, three for 3 and 9, and all of them for a prime count.
    """

    name = "tensor_data_hybrid"

    def layout(self, gpus: int) -> Layout:
        """Return ``tp`` = the smallest divisor of ``gpus`` above 1, and ``dp`` = the rest."""
        tp = smallest_degree(gpus)
        return Layout(dp=gpus // tp, tp=tp)
