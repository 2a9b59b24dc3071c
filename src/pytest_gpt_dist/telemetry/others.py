"""What took the processors beside the ranks. Pure."""

from __future__ import annotations

from pytest_gpt_dist.telemetry.counters import rates
from pytest_gpt_dist.telemetry.observation import Figure, Observation


def others(observation: Observation) -> list[float]:
    """Shares of the machine's processors, window by window; none where it, or a rank, does not tell."""
    return _beside_ranks(
        observation, observation.readings[-1].host.cores, lambda reading: reading.host.busy_s
    )


def others_on_owned(observation: Observation) -> list[float]:
    """Shares of the ranks' own cores, as ``others``; none where ranks own GPUs."""
    return _beside_ranks(
        observation, observation.readings[-1].host.owned_cores, lambda reading: reading.host.owned_busy_s
    )


def _beside_ranks(observation: Observation, cores: int, busy_s: Figure) -> list[float]:
    def of(rank: int) -> Figure:
        return lambda reading: reading.ranks[rank].cpu_s

    def seen(figure: Figure) -> list[float]:
        return rates(observation.points(figure), observation.start_s, observation.end_s)

    ranks = [seen(of(rank)) for rank in range(len(observation.readings[-1].ranks))]
    busy = seen(busy_s)
    if not busy or not all(ranks):
        return []
    return [max(0.0, all_s - sum(ranks_s)) / cores for all_s, *ranks_s in zip(busy, *ranks, strict=True)]
