"""The figures of one saved case, checked, with the reason for each that is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from statistics import fmean
from typing import Any

from pytest_gpt_dist.errors import LONGEST_PATH, one_line, quoted
from pytest_gpt_dist.measure.time_lost import MEASURED
from pytest_gpt_dist.report.alerts import told_alerts
from pytest_gpt_dist.report.cells import layout, notes
from pytest_gpt_dist.report.compared import CaseVerdict, OtherSide, read_other_side, read_verdicts
from pytest_gpt_dist.report.machine import Machine, missing_of_machine, read_machine
from pytest_gpt_dist.report.missing import Figure, Missing, missing_figures
from pytest_gpt_dist.report.profiles import RoundProfile, read_profile
from pytest_gpt_dist.report.training import TrainingFigures, read_training
from pytest_gpt_dist.results.checked import (
    UNREADABLE,
    amount,
    bytes_by_rank,
    count,
    fingerprint,
    flag,
    launches,
    maybe,
    name,
    names,
    number,
    positive,
)
from pytest_gpt_dist.results.metrics import SCHEMA, Metric
from pytest_gpt_dist.results.result_format import ResultFormat, Workload, format_of
from pytest_gpt_dist.results.saved import SavedCase, unusable
from pytest_gpt_dist.telemetry.disturbances import disturbing


@dataclass(frozen=True)
class Latency:
    """A latency in seconds: mean and percentiles over requests and rounds."""

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True)
class Reference:
    """What a speed-up refers to, its throughput in units of ``rate``, and where that figure came from."""

    engine: str
    gpus: int
    throughput: float
    rate: str
    origin: str

    def __str__(self) -> str:
        return f"{self.engine} on {devices(self.gpus)}, {self.throughput:,.1f} {self.rate}, {self.origin}"


@dataclass(frozen=True)
class Lost:
    """Shares of the ranks' time that were lost, by kind; ``host`` and ``other`` are None where they are not known.

    ``other`` is what was not measured, below 0 where ranks do their share of the work faster than one device would.
    """

    communication: float
    bubble: float
    imbalance: float
    host: float | None
    other: float | None

    @property
    def measured(self) -> dict[str, float]:
        """The three that ranks have clocks for, by name."""
        return {"communication": self.communication, "bubble": self.bubble, "imbalance": self.imbalance}


@dataclass(frozen=True)
class CaseFigures:
    """One case of one file. Texts are single lines; a figure is None where it could not be measured.

    ``case`` is the test's name without its file; ``variant`` is what tells it from a case of its strategy, engine and
    device count, empty where that takes nothing. ``degenerate`` names the strategy that this one is no different from;
    ``failed`` says that the test failed after it was measured. ``launch_throughputs`` has one figure a launch, the
    mean over its rounds, as ``throughput`` is over all. ``numbers`` has every metric of the mode that is a number, by
    name. ``error`` is how far the result is from the reference's. ``disturbed`` has those of the ``marks`` after which
    times do not compare.
    Fractions and shares are of 1, memory is by rank.
    """

    form: ResultFormat
    source: str
    test: str
    case: str
    variant: str
    failed: bool
    saved_at: str
    revision: str
    engine: str
    strategy: str
    degenerate: str | None
    gpus: int
    layout: str
    workload: Workload
    oversubscribed: bool
    shared_gpu: bool
    throughput: float
    launch_throughputs: tuple[float, ...]
    throughput_per_gpu: float
    numbers: Mapping[str, float | Latency | None]
    speedup: float | None
    efficiency: float | None
    time_lost: Lost | None
    reference: Reference | None
    gpu_utilization: float | None
    peak_memory_bytes: tuple[int | None, ...]
    parameter_bytes: tuple[int | None, ...]
    matches_reference: bool | None
    error: float | None
    marks: tuple[str, ...]
    disturbed: tuple[str, ...]
    notes: tuple[str, ...]
    alerts: tuple[str, ...]
    machine: Machine
    missing: tuple[Missing, ...]
    verdicts: tuple[CaseVerdict, ...]
    other_side: OtherSide | None
    profile: RoundProfile | None = None
    training: TrainingFigures | None = None

    @property
    def largest_memory_bytes(self) -> int | None:
        """Peak of the rank that took most, of those that could tell."""
        return max((size for size in self.peak_memory_bytes if size is not None), default=None)

    def number(self, name: str) -> float | None:
        """Return a metric that is one number; None where it was not measured, or is no metric of the mode."""
        value = self.numbers.get(name)
        return value if isinstance(value, float) else None

    def share(self, figure: Figure) -> float | None:
        """Return efficiency, utilisation or a share of a limit; None where it was not measured."""
        core = {"efficiency": self.efficiency, "gpu_utilization": self.gpu_utilization}
        return core[figure] if figure in core else self.number(figure)

    def latency(self, name: str) -> Latency | None:
        """Return a metric that is a latency; None where it was not measured, or is no metric of the mode."""
        value = self.numbers.get(name)
        return value if isinstance(value, Latency) else None

    @property
    def launch_range(self) -> tuple[float, float] | None:
        """The slowest and the fastest launch; None where there are not two."""
        launches = self.launch_throughputs
        return (min(launches), max(launches)) if len(launches) > 1 else None

    def why_missing(self, figure: Figure | None) -> str:
        """Return the reason why the case has no such figure; empty where it has."""
        return next((missing.why for missing in self.missing if missing.figure == figure), "")


def case_figures(saved: SavedCase) -> CaseFigures:
    """Return the figures of a saved case. UsageError where the entries are not what a timed case saves."""
    try:
        return _figures(saved, saved.info)
    except UNREADABLE as error:
        raise unusable(saved, error) from None


def _figures(saved: SavedCase, info: Mapping[str, Any]) -> CaseFigures:
    if info["schema"] != SCHEMA:
        raise ValueError(f"saved by schema {quoted(info['schema'])}, and this version reads {SCHEMA}")
    form = format_of(info)
    fingerprint(info["fingerprint"])
    gpus = count(info["gpus"])
    if prod(count(info["layout"][degree]) for degree in ("dp", "pp", "tp")) != gpus:
        raise ValueError(f"{layout(info)} is no layout of {devices(gpus)}")
    flags = {key: flag(info[key]) for key in ("oversubscribed", "shared_gpu", "resumed")}
    marks = names(info["marks"])
    test = one_line(saved.test)
    verdicts = tuple(read_verdicts(saved.verdicts, form))
    machine = read_machine(info)
    numbers = {metric.name: _number(metric, info.get(metric.name)) for metric in form.figures}
    throughput = positive(info[form.throughput])
    return CaseFigures(
        form=form,
        source=one_line(saved.source, LONGEST_PATH),
        test=test,
        case=test.rpartition("::")[2],
        variant="",
        failed=saved.failed,
        saved_at=one_line(saved.saved_at),
        revision=one_line(saved.revision),
        engine=name(info["engine"]),
        strategy=name(info["strategy"]),
        degenerate=maybe(name, info["degenerate"]),
        gpus=gpus,
        layout=layout(info),
        workload=form.workload(info),
        oversubscribed=flags["oversubscribed"],
        shared_gpu=flags["shared_gpu"],
        throughput=throughput,
        launch_throughputs=tuple(1 / fmean(rounds) for rounds in launches(info["launches"])),
        throughput_per_gpu=positive(info[form.throughput_per_gpu]),
        numbers=numbers,
        speedup=maybe(positive, info["speedup"]),
        efficiency=maybe(positive, info["efficiency"]),
        time_lost=_lost(info["time_lost"]),
        reference=maybe(lambda told: _reference(told, form), info["reference"]),
        gpu_utilization=maybe(amount, info["gpu_utilization"]),
        peak_memory_bytes=bytes_by_rank(info["peak_memory_bytes"], gpus),
        parameter_bytes=bytes_by_rank(info.get("parameter_bytes", [None] * gpus), gpus),
        matches_reference=maybe(flag, info["matches_reference"]),
        error=maybe(amount, info[form.error]) if form.error else None,
        marks=tuple(marks),
        disturbed=disturbing(marks),
        notes=(
            *(one_line(note) for note in notes(info)),
            *(["its test failed"] if saved.failed else []),
            *(["not every verdict can be read"] if len(verdicts) < len(saved.verdicts) else []),
        ),
        alerts=told_alerts(info),
        machine=machine,
        missing=(*missing_figures(info, form), *missing_of_machine(info, machine)),
        verdicts=verdicts,
        other_side=read_other_side(test, info),
        profile=read_profile(info),
        training=read_training(info) if form.mode == "training" else None,
    )


def devices(count: int) -> str:
    """Return that many devices, in words."""
    return "1 device" if count == 1 else f"{count} devices"


def _latency(told: Mapping[str, Any]) -> Latency:
    return Latency(*(amount(told[part]) for part in ("mean", "p50", "p95", "p99")))


def _lost(told: Mapping[str, Any]) -> Lost | None:
    """None where the ranks did not tell: they know the three that they have clocks for together, or none."""
    measured = [told[kind] for kind in MEASURED]
    if None in measured:
        return None
    unmeasured = (maybe(number, told[kind]) for kind in ("host", "other"))
    return Lost(*map(number, measured), *unmeasured)


def _reference(told: Mapping[str, Any], form: ResultFormat) -> Reference:
    return Reference(
        name(told["engine"]),
        count(told["gpus"]),
        positive(told[form.throughput]),
        form.rate,
        name(told["origin"]),
    )


def _number(metric: Metric, told: Any) -> float | Latency | None:
    """Where more is better, a number that was measured is above 0; a share, though, may round down to it."""
    if metric.kind == "latency":
        return maybe(_latency, told)
    return maybe(positive if metric.better == "higher" and metric.unit != "share" else amount, told)
