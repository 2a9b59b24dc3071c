"""The figures of one saved case, checked, with the reason for each that is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.measure.launches import launch_datum
from pytest_gpt_dist.measure.losses import MEASURED
from pytest_gpt_dist.measure.telemetry.alerts import Alert
from pytest_gpt_dist.report.saved import SavedCase
from pytest_gpt_dist.report.table import layout, notes
from pytest_gpt_dist.report.wording import LONGEST_PATH, one_line

T = TypeVar("T")
_LARGEST = 1e30

Figure = Literal[
    "speedup",
    "efficiency",
    "bandwidth_fraction",
    "gpu_utilization",
    "peak_memory_bytes",
    "itl_s",
    "lost",
    "lost_other",
]
_OF_SCALING: tuple[Figure, ...] = ("speedup", "efficiency")


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
class CaseVerdict:
    """What its session said about a case; ``effect`` and ``interval`` are relative changes of time."""

    kind: str
    metric: str
    effect: float | None
    interval: tuple[float, float] | None
    why: str


@dataclass(frozen=True)
class Missing:
    """A figure that a case has not, and why."""

    figure: Figure
    why: str


@dataclass(frozen=True)
class CaseFigures:
    """One case of one file. Texts are single lines; a figure is None where it could not be measured.

    ``case`` is the test's name without its file; ``degenerate`` names the strategy that this one is no different
    from; ``failed`` says that the test failed after it was measured. ``launches_tokens_per_s`` has one figure a
    launch, of the median of its rounds. Fractions and shares are of 1, memory is by rank.
    """

    source: str
    test: str
    case: str
    failed: bool
    saved_at: str
    engine: str
    strategy: str
    degenerate: str | None
    gpus: int
    layout: str
    requests: int
    oversubscribed: bool
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
    lost: Lost | None
    reference: Reference | None
    bandwidth_fraction: float | None
    compute_fraction: float | None
    gpu_utilization: float | None
    energy_j_per_token: float | None
    peak_memory_bytes: tuple[int | None, ...]
    parameter_bytes: tuple[int | None, ...]
    matches_reference: bool | None
    max_logit_error: float | None
    notes: tuple[str, ...]
    alerts: tuple[str, ...]
    missing: tuple[Missing, ...]
    verdicts: tuple[CaseVerdict, ...]

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
    info = saved.info
    test = one_line(saved.test)
    verdicts = tuple(_verdicts(saved.verdicts))
    try:
        return CaseFigures(
            source=one_line(saved.source, LONGEST_PATH),
            test=test,
            case=test.rpartition("::")[2],
            failed=saved.failed,
            saved_at=one_line(saved.saved_at),
            engine=one_line(info["engine"]),
            strategy=one_line(info["strategy"]),
            degenerate=_maybe(one_line, info["degenerate"]),
            gpus=_count(info["gpus"]),
            layout=one_line(layout(info)),
            requests=_count(info["requests"]),
            oversubscribed=bool(info["oversubscribed"]),
            tokens_per_s=_positive(info["tokens_per_s"]),
            launches_tokens_per_s=tuple(
                _positive(1 / launch_datum(samples)) for samples in info["launches"] if samples
            ),
            tokens_per_s_per_gpu=_positive(info["tokens_per_s_per_gpu"]),
            prefill_tokens_per_s=_positive(info["prefill_tokens_per_s"]),
            decode_tokens_per_s=_maybe(_positive, info["decode_tokens_per_s"]),
            latency=_latency(info["latency_s"]),
            ttft=_latency(info["ttft_s"]),
            tpot=_maybe(_latency, info["tpot_s"]),
            itl=_maybe(_latency, info["itl_s"]),
            speedup=_maybe(_positive, info["speedup"]),
            efficiency=_maybe(_positive, info["efficiency"]),
            lost=_lost(info["lost"]),
            reference=_maybe(_reference, info["reference"]),
            bandwidth_fraction=_maybe(_number, info["bandwidth_fraction"]),
            compute_fraction=_maybe(_number, info["compute_fraction"]),
            gpu_utilization=_maybe(_number, info["gpu_utilization"]),
            energy_j_per_token=_maybe(_number, info["energy_j_per_token"]),
            peak_memory_bytes=_by_rank(info["peak_memory_bytes"]),
            parameter_bytes=_by_rank(info["parameter_bytes"]),
            matches_reference=_maybe(bool, info["matches_reference"]),
            max_logit_error=_maybe(_number, info["max_logit_error"]),
            notes=(
                *(one_line(note) for note in notes(info)),
                *(["its test failed"] if saved.failed else []),
                *(["not every verdict can be read"] if len(verdicts) < len(saved.verdicts) else []),
            ),
            alerts=_alerts(info.get("telemetry")),
            missing=tuple(_missing(info)),
            verdicts=verdicts,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise unusable(saved, error) from None


def unusable(saved: SavedCase, error: Exception) -> UsageError:
    """What to say of a case that these entries make no sense of, the reason first."""
    reason = one_line(f"{type(error).__name__}: {first_line(error)}")
    where = one_line(saved.source, LONGEST_PATH)
    return UsageError(f"not usable ({reason}): {one_line(saved.test)} in {where}")


def devices(count: int) -> str:
    """That many devices, in words."""
    return "1 device" if count == 1 else f"{count} devices"


def _missing(info: Mapping[str, Any]) -> Iterator[Missing]:
    if info["speedup"] is None:
        why = next(
            (one_line(mark) for mark in info["marks"] if str(mark).startswith("no speed-up")),
            "no case on one device to refer to",
        )
        yield from (Missing(figure, why) for figure in _OF_SCALING)
    elif info["efficiency"] is None:
        why = "not measured"
        if info["oversubscribed"]:
            why = "oversubscribed: ranks share cores"
        elif info["shared_gpu"]:
            why = "ranks share a GPU"
        yield Missing("efficiency", why)
    if info["gpus"] > 1:
        yield from _missing_losses(info)
    if info["bandwidth_fraction"] is None:
        why = "the limit was not measured"
        if info["decode_tokens_per_s"] is None:
            why = "nothing is decoded"
        elif info["oversubscribed"]:
            why = "oversubscribed: ranks share cores"
        yield Missing("bandwidth_fraction", why)
    if info["gpu_utilization"] is None:
        yield Missing("gpu_utilization", "no GPU" if info["device"] == "cpu" else "NVML did not tell")
    if all(size is None for size in info["peak_memory_bytes"]):
        yield Missing("peak_memory_bytes", "the system did not tell")
    if info["itl_s"] is None:
        yield Missing("itl_s", "only one token")


def _missing_losses(info: Mapping[str, Any]) -> Iterator[Missing]:
    if _lost(info["lost"]) is None:
        why = "not measured"
        if info["device"] != "cpu":
            why = "not measured on GPUs"
        elif info["collectives_per_step"] is None:
            why = "the engine communicates by itself"
        yield Missing("lost", why)
        yield Missing("lost_other", why)
    elif info["lost"]["other"] is None:
        yield Missing("lost_other", "no efficiency")


def _maybe(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TypeError(f"{value!r} is no figure")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError(f"{value!r} is not above 0")
    return float(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or _number(value) < 1:
        raise TypeError(f"{value!r} is no count")
    return value


def _by_rank(values: Any) -> tuple[int | None, ...]:
    return tuple(None if value is None else int(_number(value)) for value in values)


def _latency(entries: Mapping[str, Any]) -> Latency:
    return Latency(*(_number(entries[name]) for name in ("mean", "p50", "p95", "p99")))


def _lost(entries: Mapping[str, Any]) -> Lost | None:
    """None where the ranks did not tell: they know the three that they have clocks for together, or none."""
    measured = [entries[kind] for kind in MEASURED]
    if None in measured:
        return None
    unmeasured = (_maybe(_number, entries[kind]) for kind in ("host", "other"))
    return Lost(*map(_number, measured), *unmeasured)


def _reference(entries: Mapping[str, Any]) -> Reference:
    return Reference(
        one_line(entries["engine"]),
        _count(entries["gpus"]),
        _positive(entries["tokens_per_s"]),
        one_line(entries["origin"]),
    )


def _verdicts(saved: Sequence[Mapping[str, Any]]) -> Iterator[CaseVerdict]:
    """Those that can be read; files from before latencies were judged name no metric."""
    for entries in saved:
        with suppress(KeyError, TypeError, ValueError, IndexError):
            interval = entries["interval"]
            yield CaseVerdict(
                kind=one_line(entries["kind"]),
                metric=one_line(entries.get("metric", "seconds_per_token")),
                effect=_maybe(_number, entries["effect"]),
                interval=None if interval is None else (_number(interval[0]), _number(interval[1])),
                why=one_line(entries["why"]),
            )


def _alerts(telemetry: Any) -> tuple[str, ...]:
    """Every alert in a line; a session without telemetry has none."""
    found = telemetry.get("alerts") if isinstance(telemetry, Mapping) else None
    return tuple(_alert(entries) for entries in (found if isinstance(found, list | tuple) else ()))


def _alert(entries: Any) -> str:
    try:
        return one_line(Alert(**entries))
    except (KeyError, TypeError, ValueError):
        return one_line(entries)  # of another version: as it is
