"""What a generation came to: the numbers that tests use and the entries that are saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.fingerprint import fingerprint
from pytest_gpt_dist.inference.metrics import (
    MOST_UNACCOUNTED,
    Speed,
    seconds_per_token,
    speed,
    unaccounted,
)
from pytest_gpt_dist.inference.utilization import mbu, mfu
from pytest_gpt_dist.measure.result import Launch, Result
from pytest_gpt_dist.measure.statistics import Summary, drift
from pytest_gpt_dist.measure.time_lost import lost
from pytest_gpt_dist.parallel import Layout, Traffic, parameter_count
from pytest_gpt_dist.results.metrics import SCHEMA
from pytest_gpt_dist.telemetry.disturbances import disturbance_marks
from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.summary import Telemetry, summarize

UNIT = "seconds per generated token"
_TRAFFIC = ("all_reduce", "all_gather", "send", "recv")


@dataclass(frozen=True, kw_only=True)
class GenerationResult(Result):
    """A checked generation.

    ``tokens`` are the generated ids only, in prompt order; latencies are seconds, numbers that are their mean and
    carry ``p50``, ``p95`` and ``p99``.
    """

    THROUGHPUT = "tokens_per_s"
    throughput_unit = "tokens/s"

    tokens: list[list[int]]
    tokens_per_s: float | None = None
    latency_s: Summary | None = None
    ttft_s: Summary | None = None
    tpot_s: Summary | None = None
    itl_s: Summary | None = None

    @property
    def output(self) -> list[list[int]]:
        """The tokens."""
        return self.tokens

    @classmethod
    def from_saved(cls, info: dict[str, Any], output: list[list[int]]) -> GenerationResult:
        """Return the result that was saved so, marked as resumed. KeyError or TypeError if it was none."""
        return cls(
            tokens=output,
            layout=Layout(**info["layout"]),
            extra_info=info | {"resumed": True},
            samples=tuple(sample for samples in info["launches"] for sample in samples),
            tokens_per_s=info["tokens_per_s"],
            latency_s=_summary(info["latency_s"]),
            ttft_s=_summary(info["ttft_s"]),
            tpot_s=_summary(info["tpot_s"]),
            itl_s=_summary(info["itl_s"]),
            speedup=info["speedup"],
            efficiency=info["efficiency"],
        )


def make_result(
    case: Case,
    machine: Machine,
    launches: Sequence[Launch],
    *,
    checked: bool,
    warmup: int,
    limits: Sequence[DeviceLimits] = (),
    keep_series: bool = False,
) -> GenerationResult:
    """Put together what the launches gave; every key is described in ``docs/metrics.md``.

    Times are pooled over the launches; what cannot be pooled, by rank or of the tokens, is the last launch's.
    """
    workload, layout = case.workload, case.layout
    reports, tokens = launches[-1].reports, launches[-1].output
    rounds = [round for launch in launches for round in launch.rounds]
    figures = speed(rounds, case.requests, case.gpus) if rounds else None
    by_launch = [
        seconds_per_token([round.seconds for round in launch.rounds], case.requests) for launch in launches
    ]
    telemetry = summarize(_observations(launches), keep_series=keep_series)
    errors = [
        report.max_logit_error
        for launch in launches
        for report in launch.reports
        if report.max_logit_error is not None
    ]
    info: dict[str, Any] = {
        "schema": SCHEMA,
        "mode": "inference",
        "unit": UNIT,
        "fingerprint": fingerprint(case, machine),
        "engine": case.engine,
        "engine_configuration": reports[0].engine_configuration,
        "strategy": case.strategy,
        "gpus": case.gpus,
        "layout": {"dp": layout.dp, "pp": layout.pp, "tp": layout.tp},
        "degenerate": case.degenerate,
        "oversubscribed": machine.oversubscribed(case.gpus),
        "shared_gpu": machine.shares_gpu(case.gpus),
        "device": machine.device,
        "device_name": machine.device_name,
        "backend": machine.backend_of(case.gpus),
        "machines": 1,
        "threads_per_rank": machine.threads_per_rank,
        "attention": machine.attention,
        "model": case.model_name,
        "parameters": parameter_count(case.source.config.dimensions),
        "weights": case.weights,
        "tokenizer": case.tokenizer,
        "dtype": workload.dtype,
        "scaling": workload.scaling,
        "batch_size": workload.batch_size,
        "batching": workload.batching,
        "padding_fraction": case.padding_fraction,
        "padding_fraction_in_order": case.padding_fraction_in_order,
        "requests": len(case.requests),
        "prompt_tokens": case.prompt_tokens,
        "new_tokens": case.new_tokens,
        "sampling": case.sampling,
        "seed": workload.seed,
        "warmup": warmup,
        **_speed_entries(figures),
        "speedup": None,
        "efficiency": None,
        "reference": None,
        "time_lost": lost([round.seconds for round in rounds], [round.losses for round in rounds]),
        "mbu": mbu(case, figures, limits) if figures else None,
        "mfu": mfu(case, figures, limits) if figures else None,
        "limits": {
            "read_bytes_per_s": [limit.read_bytes_per_s for limit in limits],
            "flops_per_s": [limit.flops_per_s for limit in limits],
        },
        "gpu_utilization": telemetry.utilization if telemetry and not _brief(launches) else None,
        "peak_memory_bytes": [report.peak_memory_bytes for report in reports],
        "parameter_bytes": [report.parameter_bytes for report in reports],
        "collectives_per_step": _collectives([report.traffic_per_step for report in reports]),
        "energy_j_per_token": _energy_per_token(telemetry, launches, case),
        "max_logit_error": max(errors, default=None),
        "matches_reference": True if checked else None,
        "tokens_sha256": hashlib.sha256(json.dumps(tokens).encode()).hexdigest(),
        "telemetry": telemetry.as_dict() if telemetry else None,
        "marks": marks(launches),
        "resumed": False,
        "launches": by_launch,
    }
    return GenerationResult(
        tokens=tokens,
        layout=layout,
        extra_info=info,
        samples=tuple(sample for samples in by_launch for sample in samples),
        tokens_per_s=figures.tokens_per_s if figures else None,
        latency_s=figures.latency_s if figures else None,
        ttft_s=figures.ttft_s if figures else None,
        tpot_s=figures.tpot_s if figures else None,
        itl_s=figures.itl_s if figures else None,
    )


def _summary(saved: dict[str, float] | None) -> Summary | None:
    return None if saved is None else Summary(**saved)


def marks(launches: Sequence[Launch]) -> list[str]:
    """What makes the launches' numbers doubtful."""
    found = ["tokens vary"] if _tokens_vary(launches) else []
    rounds = [round for launch in launches for round in launch.rounds]
    if rounds and median(unaccounted(round) for round in rounds) > MOST_UNACCOUNTED:
        found.append("latencies do not add up")
    trends = (drift([round.seconds for round in launch.rounds]) for launch in launches if launch.rounds)
    found += [f"drifting: {trend}" for trend in dict.fromkeys(trends) if trend is not None]
    return found + disturbance_marks(_observations(launches))


def _observations(launches: Sequence[Launch]) -> list[Observation]:
    return [launch.observation for launch in launches if launch.observation is not None]


def _energy_per_token(telemetry: Telemetry | None, launches: Sequence[Launch], case: Case) -> float | None:
    """Joules of the time of the rounds ÷ tokens generated in them; None where they were brief."""
    if telemetry is None or telemetry.energy_j is None or _brief(launches):
        return None
    rounds = sum(len(launch.rounds) for launch in launches)
    return telemetry.energy_j / (rounds * sum(request.new_tokens for request in case.requests))


def _brief(launches: Sequence[Launch]) -> bool:
    """Whether a launch's rounds were."""
    return any(seen.brief for seen in _observations(launches))


def _collectives(by_rank: Sequence[Traffic | None]) -> dict[str, list[int]] | None:
    counted = [traffic for traffic in by_rank if traffic is not None]
    if len(counted) < len(by_rank):
        return None
    return {kind: [getattr(traffic, kind) for traffic in counted] for kind in _TRAFFIC}


def _tokens_vary(launches: Sequence[Launch]) -> bool:
    within = any(report.tokens_vary for launch in launches for report in launch.reports)
    return within or any(launch.output != launches[0].output for launch in launches)


def _speed_entries(figures: Speed | None) -> dict[str, Any]:
    """The fields of ``Speed`` by name, latencies with their percentiles."""
    entries: dict[str, Any] = {}
    for name in Speed.__dataclass_fields__:
        value = getattr(figures, name, None)
        entries[name] = value.as_dict() if isinstance(value, Summary) else value
    return entries
