"""Every figure's definition: pure functions from times to numbers. ``docs/metrics.md`` says the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from pytest_gpt_dist.inference.engines.protocol import Request
from pytest_gpt_dist.inference.times import BatchTimes, Round
from pytest_gpt_dist.measure.statistics import LatencySummary, summarize, throughput

MOST_UNACCOUNTED = 0.05
"""Share of a round that may lie outside of its requests' latencies before the case is marked."""


@dataclass(frozen=True)
class ThroughputMetrics:
    """Throughputs in tokens per second and latencies in seconds of a case."""

    tokens_per_s: float
    tokens_per_s_per_gpu: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float | None
    latency_s: LatencySummary
    ttft_s: LatencySummary
    tpot_s: LatencySummary | None
    itl_s: LatencySummary | None


def seconds_per_token(rounds: Iterable[float], requests: Sequence[Request]) -> list[float]:
    """One sample a round: its seconds ÷ the tokens generated in it by the whole world."""
    generated = sum(request.new_tokens for request in requests)
    return [round_s / generated for round_s in rounds]


def throughput_metrics(rounds: Sequence[Round], requests: Sequence[Request], gpus: int) -> ThroughputMetrics:
    """Return the figures of a case from its timed rounds.

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
    return ThroughputMetrics(
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
    """Return the share of a round that its batches' latencies, timed one by one, leave out or have too much.

    The round is timed apart from them. Of several replicas the busiest counts, as it is what the round waits for.
    """
    accounted = max(
        sum(_prefill_s(batch) + _decode_s(batch) for batch in batches) for batches in round.replicas
    )
    return abs(round.seconds - accounted) / round.seconds


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
