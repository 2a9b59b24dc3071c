"""The options in force, of all sections together, and what is asked of several of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from pytest_gpt_dist.config.collectives import CollectiveOptions
from pytest_gpt_dist.config.declaration import KINDS, Declaration, Section
from pytest_gpt_dist.config.sections import (
    SECTIONS,
    ComparingOptions,
    DeviceOptions,
    MatrixOptions,
    MeasuringOptions,
    ModelOptions,
    RunningOptions,
    WorkloadOptions,
)
from pytest_gpt_dist.config.training import TrainingOptions
from pytest_gpt_dist.errors import UsageError, quoted

MOST_WORKLOADS = 1000


@dataclass(frozen=True)
class Options(
    ModelOptions,
    MatrixOptions,
    DeviceOptions,
    WorkloadOptions,
    TrainingOptions,
    CollectiveOptions,
    MeasuringOptions,
    ComparingOptions,
    RunningOptions,
):
    """What the user asked for; ``None`` means the default of the device or of the prompt.

    ``sweeps`` has the options that were given several values, in their order; each one's field holds the first.
    """

    sweeps: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def check_sweeps(self) -> None:
        """Raise UsageError where the options ask for more workloads than a session can have."""
        workloads = prod(len(values) for _, values in self.sweeps)
        if workloads > MOST_WORKLOADS:
            written = " ".join(self.written(name) for name, _ in self.sweeps)
            raise UsageError(f"{written}: {workloads:,} workloads, at most {MOST_WORKLOADS:,} in a session")

    def check_comparison(self) -> None:
        """Raise UsageError where the options of comparing do not go together."""
        if self.against is None:
            for name in ("gate", "null_control"):
                if getattr(self, name):
                    raise UsageError(
                        f"{self.source(name)} needs --gpt-against: other comparisons do not use it"
                    )
            return
        if self.baseline:
            raise UsageError(
                f"{self.source('baseline')} compares with saved sessions, {self.source('against')} with launches of"
                " this one: choose one"
            )
        if self.profile is not None:
            raise UsageError(
                f"{self.written('profile')}: a profile is of one side; leave out {self.source('against')}"
            )
        if self.launches > 1:
            raise UsageError(
                f"{self.written('launches')}: {self.source('against')} measures 4 pairs of launches, and 12 more of"
                " suspects; leave out one of the two"
            )

    def check_launcher(self) -> None:
        """Raise UsageError where the options of several machines do not go together."""
        if self.launcher != "torchrun":
            if self.rendezvous is not None:
                raise UsageError(f"{self.source('rendezvous')} needs --gpt-launcher=torchrun")
            return
        if self.rendezvous is None:
            raise UsageError(
                f"{self.written('launcher')} needs --gpt-rendezvous=HOST:PORT, where pytest listens for its ranks"
            )
        if self.against is not None:
            raise UsageError(
                f"{self.source('against')} starts ranks of another revision on this machine; leave out"
                f" {self.source('launcher')}"
            )


def declarations() -> Iterator[tuple[str, Declaration]]:
    """Yield field name and declaration of every option, in the order of the documentation."""
    for section in SECTIONS:
        yield from section_declarations(section)


def section_declarations(section: type[Section]) -> Iterator[tuple[str, Declaration]]:
    """Yield the same of one section."""
    for field in dataclasses.fields(section):
        if "declaration" in field.metadata:
            yield field.name, field.metadata["declaration"]


def check_argument(name: str, value: Any, *, option: str | None = None) -> None:
    """Hold an argument given in code to the rules of the option of that name; UsageError if it breaks them.

    ``option`` is the option's name where that is another one.
    """
    how = dict(declarations())[option or name]
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "string": (str,),
        "bool": (bool,),
    }
    fits = isinstance(value, kinds[how.ini]) and (how.ini == "bool" or not isinstance(value, bool))
    try:
        if not fits:
            raise ValueError(f"expected {KINDS[how.ini]}")
        how.check(float(value) if how.ini == "float" else value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}={quoted(value)}: {error}") from None
