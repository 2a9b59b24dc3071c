"""The metric registry's parts: one entry says how a figure is computed, saved, read back, shown and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = 2
"""Version of what is saved of a case; since 2 some entries have other names, as docs/migrating.md lists."""

Kind = Literal["entry", "figure", "latency"]
"""What is saved: anything that only documents describe, a number, or a mean with percentiles in seconds."""
Better = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How a metric can fail an A/B.

    Attributes:
        option: its name in ``--gpt-gate``.
        key: under which each launch's number is saved, and which verdicts carry as their ``metric``.
        label: how a table names it.
        statistic: which of the latency's numbers it is.
        absent: why a case may have no such number.
    """

    option: str
    key: str
    label: str
    statistic: Literal["mean", "p50", "p95", "p99"]
    absent: str = "not measured"

    def of(self, latency: Mapping[str, float] | None) -> float | None:
        """Return the number that is judged, in seconds; None of a latency that was not measured."""
        return None if latency is None else float(latency[self.statistic])


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A saved entry of a case, and all that JSON, tables, spreadsheet, glossary, gates and documents know of it.

    Attributes:
        name: key in ``extra_info``.
        meaning: one line; ``docs/metrics.md`` has the formula.
        unit: of its numbers; empty where it has none.
        kind: what is saved under the key.
        better: which way is better; empty where that cannot be said.
        label: heading of its column, and its word in the glossary; empty for what is in no table.
        form: how a table writes the number, after multiplication with ``scale``.
        scale: from the saved unit to the one that is shown.
        summary: whether it is in the table after a session, too, where there is little room.
        absent: why a case may have none.
        gate: how it can fail an A/B; None where it cannot.
        only_with: the option without which it is not saved; empty for an entry of every case.
        value: computes it from what the mode measured; None for what the core puts in itself.
    """

    name: str
    meaning: str
    unit: str = ""
    kind: Kind = "entry"
    better: Better = ""
    label: str = ""
    form: str = "{:,.1f}"
    scale: float = 1.0
    summary: bool = False
    absent: str = "not measured"
    gate: Gate | None = None
    only_with: str = ""
    value: Callable[[Any], object] | None = None

    def shown(self, value: float) -> str:
        """Return a measured number as tables write it."""
        return self.form.format(value * self.scale)


WHAT_RAN = (
    Metric(name="schema", meaning="version of this list"),
    Metric(name="mode", meaning="what was measured, such as inference"),
    Metric(name="unit", meaning="what a sample is, such as seconds per generated token"),
    Metric(
        name="fingerprint",
        meaning="all that changes a number besides the code under test; others do not compare",
    ),
    Metric(
        name="series",
        meaning="what trackers know the case by: test, engine, layout, workload and machine",
    ),
    Metric(name="engine", meaning="what executed it"),
    Metric(name="engine_configuration", meaning="what was chosen among the engine's own ways of working"),
    Metric(
        name="strategy",
        meaning="the rule that gave the layout, or the layout itself where degrees were given",
    ),
    Metric(name="gpus", unit="devices", meaning="number of ranks, each with a device of its own"),
    Metric(name="layout", meaning="degrees of data (dp), pipeline (pp) and tensor parallelism (tp)"),
    Metric(name="degenerate", meaning="the earlier strategy that has the same layout at this count"),
    Metric(name="oversubscribed", meaning="whether ranks share cores"),
    Metric(name="shared_gpu", meaning="whether ranks share a GPU"),
    Metric(name="device", meaning="cpu or cuda"),
    Metric(name="device_name", meaning="the processor or GPU by its maker's name"),
    Metric(name="backend", meaning="what ranks communicate through"),
    Metric(name="machines", unit="machines", meaning="number of them"),
    Metric(name="threads_per_rank", unit="threads", meaning="cores and threads of a rank on the CPU"),
    Metric(name="warmup", unit="rounds", meaning="untimed ones before the timed ones"),
)
"""Where a case ran and how it was divided; in every mode, as the following are."""

SCALING = (
    Metric(name="speedup", unit="ratio", better="higher", meaning="throughput over that of the reference"),
    Metric(
        name="efficiency",
        unit="share",
        better="higher",
        meaning="speed-up over the number of devices; null where ranks share one",
    ),
    Metric(
        name="reference",
        meaning="what the speed-up refers to: one device, the same engine and workload",
    ),
    Metric(
        name="time_lost",
        unit="share",
        better="lower",
        meaning="where the missing efficiency went, by kind, as shares of the rounds",
    ),
)
"""What several devices gain over one."""

RESOURCES = (
    Metric(
        name="limits",
        unit="bytes/s, 1/s",
        meaning="what mbu and mfu are divided by, by rank, measured in the session",
    ),
    Metric(
        name="yardstick",
        unit="seconds",
        meaning="a fixed read, product and all-reduce beside the rounds: how fast the machine was, by launch",
    ),
    Metric(
        name="gpu_utilization",
        unit="share",
        better="higher",
        meaning="of the time of the rounds in which a kernel ran, mean over GPUs",
    ),
    Metric(
        name="peak_memory_bytes",
        unit="bytes",
        better="lower",
        meaning="the most that a rank held, by rank",
    ),
)
"""What a case took of its devices."""

OUTCOME = (
    Metric(name="matches_reference", meaning="true, or null where no reference could be computed"),
    Metric(name="telemetry", meaning="what devices and host did during the rounds, with the alerts"),
    Metric(name="marks", meaning="what makes the numbers doubtful"),
    Metric(
        name="repeated",
        meaning="marks of disturbed launches that were left out and measured again, a list for each launch",
    ),
    Metric(name="resumed", meaning="whether an earlier, killed session measured it"),
    Metric(
        name="launches",
        meaning="the raw samples, a list for each launch, in the unit that unit names",
    ),
    Metric(
        name="profile",
        meaning="a profiled round after the timed ones: traces, and shares of phases and operators",
        only_with="--gpt-profile",
    ),
    Metric(
        name="second_look",
        meaning="fresh launches of a case that seemed to have changed, with their yardstick and marks",
        only_with="--gpt-baseline",
    ),
    Metric(
        name="against",
        meaning="the other side, with every pair of launches",
        only_with="--gpt-against",
    ),
)
"""What to make of the numbers."""
