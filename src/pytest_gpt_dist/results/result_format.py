"""How the results of a mode are named, read and shown: its metrics, and the words that only the mode knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.results.metrics import Gate, Metric

Info = Mapping[str, Any]
"""A case's ``extra_info``."""


@dataclass(frozen=True)
class Workload:
    """What a case was asked to do.

    Attributes:
        words: as a heading says it.
        columns: as a spreadsheet has it, each entry in a column of its own.
        note: what else to know of a request's time, such as the size of its batch; empty for nothing.
    """

    words: tuple[str, ...]
    columns: tuple[tuple[str, str | float | None], ...]
    note: str = ""


@dataclass(frozen=True)
class Limit:
    """A share of what the hardware allows.

    Attributes:
        metric: the saved share.
        label: heading of its column.
        work: what is held against the limit, such as decoding.
        resource: what the limit is of, such as reading memory.
        beyond: why it can be above 100%; empty where it cannot.
        needs: the metric without which there is no work to hold against it; empty for none.
        without: what to say then.
    """

    metric: str
    label: str
    work: str
    resource: str
    beyond: str = ""
    needs: str = ""
    without: str = ""

    @property
    def why_beyond(self) -> str:
        """Return how a sentence on a share above 100% begins; empty where there is none."""
        return f"{self.label[:1].upper()}{self.label[1:]} is {self.beyond}" if self.beyond else ""


@dataclass(frozen=True)
class Wanted:
    """Something that a reader may look for besides throughput: the case with the lowest mean of a latency.

    Attributes:
        title: what is wanted, such as "Soonest for one user".
        metric: the latency.
        per: what it is of, such as "a request".
        first: a latency that is part of it and worth saying; empty for none.
        first_words: what stands before that one.
    """

    title: str
    metric: str
    per: str
    first: str = ""
    first_words: str = ""


@dataclass(frozen=True)
class Mark:
    """A mark that only one mode gives: how a badge says it, what it means, and whether it puts numbers in doubt."""

    label: str
    meaning: str
    open: bool = True


@dataclass(frozen=True, kw_only=True)
class ResultFormat:
    """All that the core knows of a mode's results.

    Attributes:
        mode: saved as ``mode``.
        title: of a report on nothing else.
        unit: what a sample is, saved as ``unit``.
        works: what is done, in the plural, such as tokens.
        throughput: the metric whose inverse a sample is; higher is better.
        throughput_per_gpu: the same for each device.
        time: what verdicts call the inverse of the throughput, as their ``metric``.
        error: the metric that says how far the result is from the reference's; empty for none.
        error_of: what that error is of, such as logits.
        output: the entry that is equal for equal results; empty for none.
        energy: the metric of what devices drew for a unit of work; empty for none.
        metrics: every saved entry, in the order in which people read them.
        varies: entries of the fingerprint in which cases of one table may differ, besides engine and layout.
        workload: reads it; KeyError, TypeError or ValueError where it is damaged.
        limits: shares of the hardware's limits, the one that counts most first.
        wanted: what else readers look for.
        request: a latency and the first part of it, for a chart; empty for none.
        distributions: latencies whose spread is worth a chart.
        words: further words that need a definition.
        marks: what marks of the mode's own mean, by their kind.
    """

    mode: str
    title: str
    unit: str
    works: str
    throughput: str
    throughput_per_gpu: str
    time: str
    error: str = ""
    error_of: str = ""
    output: str = ""
    energy: str = ""
    metrics: tuple[Metric, ...]
    varies: tuple[str, ...] = ()
    workload: Callable[[Info], Workload]
    limits: tuple[Limit, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    request: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def rate(self) -> str:
        """Return the unit of the throughput, such as tokens/s."""
        return self.metric(self.throughput).unit

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Return what else can fail an A/B."""
        return tuple(metric.gate for metric in self.metrics if metric.gate is not None)

    @property
    def figures(self) -> tuple[Metric, ...]:
        """Return the metrics that are numbers."""
        return tuple(each for each in self.metrics if each.kind != "entry")

    @property
    def further(self) -> tuple[Metric, ...]:
        """Return those that have a column because they have a label, and not because every mode has one."""
        core = (
            self.throughput,
            self.throughput_per_gpu,
            self.error,
            self.energy,
            *(limit.metric for limit in self.limits),
        )
        return tuple(each for each in self.figures if each.label and each.name not in core)

    @property
    def tracked(self) -> tuple[str, ...]:
        """Return what a tracker of one number may follow: throughput, and the latencies of a session's table."""
        latencies = (each.name for each in self.figures if each.kind == "latency" and each.summary)
        return (self.throughput, *latencies)

    def metric(self, name: str) -> Metric:
        """Return the metric of that name; KeyError where there is none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def gate(self, key: str) -> Gate | None:
        """Return the gate whose numbers are saved under that key; None for the time itself, and for unknown ones."""
        return next((gate for gate in self.gates if gate.key == key), None)

    def is_timed(self, info: Info) -> bool:
        """Return whether a case was timed, and not only checked."""
        return info[self.throughput] is not None


_PATHS = {
    "inference": "pytest_gpt_dist.inference.result_format:INFERENCE",
    "training": "pytest_gpt_dist.training.result_format:TRAINING",
    "collectives": "pytest_gpt_dist.collectives.result_format:COLLECTIVES",
}


def add_format(mode: str, path: str) -> None:
    """Make the results of a mode readable in this process: ``path`` is the import path of its format."""
    _PATHS[mode] = path


def format_of(info: Info) -> ResultFormat:
    """Return how the mode of a saved case is read; what was saved before there were modes is inference.

    ValueError where no such mode is known here, UsageError where its format cannot be loaded.
    """
    mode = info.get("mode", "inference")
    if not isinstance(mode, str) or mode not in _PATHS:
        raise ValueError(f"saved by mode {quoted(mode)}, which is not known here: there are {_known()}")
    module, _, attribute = _PATHS[mode].partition(":")
    try:
        found: ResultFormat = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever is registered, and whatever it does
        raise UsageError(
            f"results of mode {quoted(mode)}: cannot load {_PATHS[mode]}: {first_line(error)}"
        ) from error
    return found


def known_formats() -> tuple[ResultFormat, ...]:
    """Return the formats of all modes."""
    return tuple(format_of({"mode": mode}) for mode in _PATHS)


def _known() -> str:
    return ", ".join(sorted(_PATHS))
