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
from pytest_gpt_dist.report.workload import Workload, read_workload
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
from pytest_gpt_dist.results.metrics import SCHEMA
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
    """What a speed-up refers to, and where that figure came from."""

    engine: str
    gpus: int
    tokens_per_s: float
    origin: str

    def __str__(self) -> str:
        return f"{self.engine} on {devices(self.gpus)}, {self.tokens_per_s:,.1f} tokens/s, {self.origin}"


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
    ``failed`` says that the test failed after it was measured. ``launches_tokens_per_s`` has one figure a launch, the
    mean over its rounds, as ``tokens_per_s`` is over all. ``disturbed`` has those of the ``marks`` after which times do
    not compare.
    Fractions and shares are of 1, memory is by rank.
    """

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
    requests: int
    workload: Workload
    oversubscribed: bool
    shared_gpu: bool
    tokens_per_s: float
    launches_tokens_per_s: tuple[float, ...]
    tokens_per_s_per_gpu: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float | None
    latency: Latency
    ttft: Latency
    tpot: Latency | None
    itl: Latency | None
    speedup: float | None
    efficiency: float | None
    time_lost: Lost | None
    reference: Reference | None
    mbu: float | None
    mfu: float | None
    gpu_utilization: float | None
    energy_j_per_token: float | None
    peak_memory_bytes: tuple[int | None, ...]
    parameter_bytes: tuple[int | None, ...]
    matches_reference: bool | None
    max_logit_error: float | None
    marks: tuple[str, ...]
    disturbed: tuple[str, ...]
    notes: tuple[str, ...]
    alerts: tuple[str, ...]
    machine: Machine
    missing: tuple[Missing, ...]
    verdicts: tuple[CaseVerdict, ...]
    other_side: OtherSide | None

    @property
    def largest_memory_bytes(self) -> int | None:
        """Peak of the rank that took most, of those that could tell."""
        return max((size for size in self.peak_memory_bytes if size is not None), default=None)

    @property
    def launch_range_tokens_per_s(self) -> tuple[float, float] | None:
        """The slowest and the fastest launch; None where there are not two."""
        launches = self.launches_tokens_per_s
        return (min(launches), max(launches)) if len(launches) > 1 else None

    def why_missing(self, figure: Figure | None) -> str:
        """The reason why the case has no such figure; empty where it has."""
        return next((missing.why for missing in self.missing if missing.figure == figure), "")


def case_figures(saved: SavedCase) -> CaseFigures:
    """The figures of a saved case. UsageError where the entries are not what a timed case saves."""
    try:
        return _figures(saved, saved.info)
    except UNREADABLE as error:
        raise unusable(saved, error) from None


def _figures(saved: SavedCase, info: Mapping[str, Any]) -> CaseFigures:
    if info["schema"] != SCHEMA:
        raise ValueError(f"saved by schema {quoted(info['schema'])}, and this version reads {SCHEMA}")
    fingerprint(info["fingerprint"])
    gpus = count(info["gpus"])
    if prod(count(info["layout"][degree]) for degree in ("dp", "pp", "tp")) != gpus:
        raise ValueError(f"{layout(info)} is no layout of {devices(gpus)}")
    flags = {key: flag(info[key]) for key in ("oversubscribed", "shared_gpu", "resumed")}
    marks = names(info["marks"])
    test = one_line(saved.test)
    verdicts = tuple(read_verdicts(saved.verdicts))
    machine = read_machine(info)
    return CaseFigures(
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
        requests=count(info["requests"]),
        workload=read_workload(info),
        oversubscribed=flags["oversubscribed"],
        shared_gpu=flags["shared_gpu"],
        tokens_per_s=positive(info["tokens_per_s"]),
        launches_tokens_per_s=tuple(1 / fmean(rounds) for rounds in launches(info["launches"])),
        tokens_per_s_per_gpu=positive(info["tokens_per_s_per_gpu"]),
        prefill_tokens_per_s=positive(info["prefill_tokens_per_s"]),
        decode_tokens_per_s=maybe(positive, info["decode_tokens_per_s"]),
        latency=_latency(info["latency_s"]),
        ttft=_latency(info["ttft_s"]),
        tpot=maybe(_latency, info["tpot_s"]),
        itl=maybe(_latency, info["itl_s"]),
        speedup=maybe(positive, info["speedup"]),
        efficiency=maybe(positive, info["efficiency"]),
        time_lost=_lost(info["time_lost"]),
        reference=maybe(_reference, info["reference"]),
        mbu=maybe(amount, info["mbu"]),
        mfu=maybe(amount, info["mfu"]),
        gpu_utilization=maybe(amount, info["gpu_utilization"]),
        energy_j_per_token=maybe(amount, info["energy_j_per_token"]),
        peak_memory_bytes=bytes_by_rank(info["peak_memory_bytes"], gpus),
        parameter_bytes=bytes_by_rank(info["parameter_bytes"], gpus),
        matches_reference=maybe(flag, info["matches_reference"]),
        max_logit_error=maybe(amount, info["max_logit_error"]),
        marks=tuple(marks),
        disturbed=disturbing(marks),
        notes=(
            *(one_line(note) for note in notes(info)),
            *(["its test failed"] if saved.failed else []),
            *(["not every verdict can be read"] if len(verdicts) < len(saved.verdicts) else []),
        ),
        alerts=told_alerts(info),
        machine=machine,
        missing=(*missing_figures(info), *missing_of_machine(info, machine)),
        verdicts=verdicts,
        other_side=read_other_side(test, info),
    )


def devices(count: int) -> str:
    """That many devices, in words."""
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


def _reference(told: Mapping[str, Any]) -> Reference:
    return Reference(
        name(told["engine"]), count(told["gpus"]), positive(told["tokens_per_s"]), name(told["origin"])
    )
