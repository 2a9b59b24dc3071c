"""The layout of a case: what a test asks for, or else what the options do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.config.sections import DEGREES, MatrixOptions
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.parallel.layout import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.strategy import Strategy, degenerate, plan_of


class Strategies(Protocol):
    """Strategies by name, as the registry has them."""

    @property
    def strategies(self) -> Sequence[str]:
        """Return their names, in the order in which they are listed; there is at least one."""
        ...

    def strategy(self, name: str) -> Strategy:
        """Return the strategy of that name; UsageError where there is none."""
        ...


@dataclass(frozen=True)
class ChosenLayout:
    """A plan, and the strategy that it was chosen by: a name, or the layout's id where degrees were given outright.

    ``degenerate`` names the earlier strategy that has the same plan.
    """

    strategy: str
    plan: ParallelPlan
    degenerate: str | None = None

    @property
    def layout(self) -> Layout:
        """Return the degrees of the world."""
        return self.plan.layout

    def undivided(self) -> ChosenLayout:
        """Return the same for work that has no state of a training; UsageError where the strategy divides one."""
        if self.plan != ParallelPlan(self.layout):
            raise UsageError(f"strategy {quoted(self.strategy)}: {self.plan} is a plan for training")
        return self


ONE_DEVICE = ChosenLayout("pure_data_parallel", ParallelPlan(Layout()))
"""What speed-ups refer to."""


def choose_layout(arguments: Mapping[str, Any], options: MatrixOptions, known: Strategies) -> ChosenLayout:
    """Return the layout that ``strategy``, ``gpus`` and degrees ask for, each from the arguments or from the options.

    UsageError, in one line, where they contradict each other, or where there is no such strategy or layout.
    """
    gpus = arguments.get("gpus")
    if gpus is not None:
        device_count(gpus)
    name = arguments.get("strategy")
    given = {degree: arguments[degree] for degree in DEGREES if arguments.get(degree) is not None}
    if given and name is not None:
        raise UsageError(f"strategy={quoted(name)} and {', '.join(given)}: give either a strategy or degrees")
    if given:
        return _outright(Layout(*(given.get(degree, 1) for degree in DEGREES)), gpus)
    if name is None and options.degrees is not None:
        return _outright(Layout(*options.degrees), gpus)
    name = name or known.strategies[0]
    if not isinstance(name, str):
        raise UsageError(f"strategy={quoted(name)}: expected the name of a strategy")
    if name not in known.strategies and name.startswith("dp"):
        return _outright(Layout.parse(name), gpus)
    only = options.gpus if options.gpus is not None and len(options.gpus) == 1 else (1,)
    return _by_strategy(name, gpus or only[0], known)


def _outright(layout: Layout, gpus: int | None) -> ChosenLayout:
    if gpus is not None and layout.world_size != gpus:
        raise UsageError(
            f"data_parallel {layout.dp} × pipeline_parallel {layout.pp} × tensor_parallel {layout.tp}"
            f" = {layout.world_size} devices, but gpus={gpus}"
        )
    return ChosenLayout(layout.id, ParallelPlan(layout))


def _by_strategy(name: str, gpus: int, known: Strategies) -> ChosenLayout:
    strategy = known.strategy(name)
    plan = plan_of(strategy, gpus)
    names = known.strategies
    earlier = [known.strategy(other) for other in names[: names.index(name)]]
    return ChosenLayout(name, plan, degenerate(strategy, gpus, earlier))
