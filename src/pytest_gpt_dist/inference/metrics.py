"""Every figure's definition: pure functions from times to numbers. ``docs/metrics.md`` says the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, sqrt
from statistics import mean, stdev

from pytest_gpt_dist.inference.engines.protocol import Request
from pytest_gpt_dist.inference.messages import Timing
from pytest_gpt_dist.inference.times import BatchTimes, Round, Summary

# Two-sided 95% quantiles of Student's t for 1, 2, … degrees of freedom, and the normal distribution's beyond all.
_STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL_95 = 1.959963984540054
PRECISION = 0.01
MOST_UNACCOUNTED = 0.05
"""Share of a round that may lie outside of its requests' latencies before the case is marked."""


@dataclass(frozen=True)
class Speed:
    """Throughputs in tokens per second and latencies in seconds of a case."""

    tokens_per_s: float
    tokens_per_s_per_gpu: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float | None
    latency_s: Summary
    ttft_s: Summary
    tpot_s: Summary | None
    itl_s: Summary | None


def seconds_per_token(rounds: Iterable[float], requests: Sequence[Request]) -> list[float]:
    """One sample a round: its seconds ÷ the tokens generated in it by the whole world."""
    generated = sum(request.new_tokens for request in requests)
    return [round_s / generated for round_s in rounds]


def throughput(samples: Sequence[float]) -> float:
    """Tokens per second of samples in seconds per token: rounds ÷ their sum, as pytest-benchmark's ``ops``."""
    return len(samples) / sum(samples)


def speed(rounds: Sequence[Round], requests: Sequence[Request], gpus: int) -> Speed:
    """The figures of a case from its timed rounds.

    A world's prefill takes as long as its slowest replica's: the sum over its batches of the time from the
    start to the last microbatch's first token. Decode is what is left of the batches' times.
    """
    by_index = {request.index: request for request in requests}
    total = throughput(seconds_per_token([round.seconds for round in rounds], requests))
    prefill_s = [
        max(sum(_prefill_s(batch) for batch in batches) for batches in round.replicas) for round in rounds
    ]
    decode_s = [
        max(sum(_decode_s(batch) for batch in batches) for batches in round.replicas) for round in rounds
    ]
    prompt_tokens = sum(len(request.prompt) for request in requests)
    decoded_tokens = sum(request.new_tokens - 1 for request in requests)
    tokens = [times for round in rounds for times in _token_times(round, by_index)]
    several = [times for times in tokens if len(times) > 1]
    return Speed(
        tokens_per_s=total,
        tokens_per_s_per_gpu=total / gpus,
        prefill_tokens_per_s=prompt_tokens / mean(prefill_s),
        decode_tokens_per_s=decoded_tokens / mean(decode_s) if decoded_tokens and any(decode_s) else None,
        latency_s=summarize([times[-1] for times in tokens]),
        ttft_s=summarize([times[0] for times in tokens]),
        tpot_s=summarize([(times[-1] - times[0]) / (len(times) - 1) for times in several])
        if several
        else None,
        itl_s=(
            summarize([after - before for times in several for before, after in pairwise(times)])
            if several
            else None
        ),
    )


def unaccounted(round: Round) -> float:
    """The share of a round that its batches' latencies, timed one by one, leave out or have too much.

    The round is timed apart from them. Of several replicas the busiest counts, as it is what the round waits for.
    """
    accounted = max(
        sum(_prefill_s(batch) + _decode_s(batch) for batch in batches) for batches in round.replicas
    )
    return abs(round.seconds - accounted) / round.seconds


def summarize(values: Sequence[float]) -> Summary:
    """Mean and percentiles, interpolated linearly between neighbours."""
    ordered = sorted(values)
    return Summary(mean(ordered), *(_percentile(ordered, share) for share in (0.50, 0.95, 0.99)))


def speedup(tokens_per_s: float, reference_tokens_per_s: float) -> float:
    """Throughput as a multiple of the one-device reference's, which is of the same engine."""
    return tokens_per_s / reference_tokens_per_s


def efficiency(speedup: float, gpus: int) -> float:
    """Speed-up ÷ devices: 1 means that each device does as much as it does alone."""
    return speedup / gpus


def enough_rounds(rounds_s: Sequence[float], elapsed_s: float, timing: Timing) -> bool:
    """Whether to stop timing: a fixed count is reached, or the mean is known to 1%, or time is up.

    ``elapsed_s`` is the time since the first round began, with what lies between rounds. A pure function of
    what all ranks share, so that every rank decides alike.
    """
    if timing.rounds is not None:
        return len(rounds_s) >= timing.rounds
    if len(rounds_s) < timing.min_rounds:
        return False
    return elapsed_s >= timing.max_time_s or relative_half_width(rounds_s) <= PRECISION


def relative_half_width(values: Sequence[float]) -> float:
    """Half the width of the mean's 95% interval (Student's t), relative to the mean; infinite for one value."""
    if len(values) < 2:
        return float("inf")
    return student_95(len(values) - 1) * stdev(values) / sqrt(len(values)) / mean(values)


def student_95(freedom: int) -> float:
    """Two-sided 95% quantile of Student's t: tabulated, or, right to six digits, by its expansion.

    The expansion is formula 26.7.5 of Abramowitz and Stegun. Verdicts, on the controller, have scipy for that, which
    would take each rank half a second and 12 MB of the memory that is measured.
    """
    if freedom <= len(_STUDENT_95):
        return _STUDENT_95[freedom - 1]
    z: float = _NORMAL_95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + fsum(term / freedom**power for power, term in enumerate(terms, 1))


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _prefill_s(batch: BatchTimes) -> float:
    return max(times[0] for times in batch.tokens_s)


def _decode_s(batch: BatchTimes) -> float:
    return max(times[-1] for times in batch.tokens_s) - _prefill_s(batch)


def _token_times(round: Round, by_index: Mapping[int, Request]) -> Iterable[Sequence[float]]:
    """For each request the times of the tokens that it asked for, after the start of its batch."""
    for batches in round.replicas:
        for batch in batches:
            for requests, times in zip(batch.requests, batch.tokens_s, strict=True):
                for index in requests:
                    yield times[: by_index[index].new_tokens]
