"""What a case came to, whatever was measured: samples, entries that are saved, and what a speed-up refers to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from pytest_gpt_dist.measure.profile import RankProfile
from pytest_gpt_dist.measure.statistics import efficiency, speedup, throughput
from pytest_gpt_dist.measure.time_lost import other
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.results.result_format import ResultFormat, format_of
from pytest_gpt_dist.telemetry.observation import Observation


class WrongResultError(Exception):
    """A result that differs from its reference, or was not computed the way its layout says: no number."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A checked case. Figures are None where nothing was timed or where they could not be measured.

    ``samples`` are seconds per unit of work, one a round; ``extra_info`` is what is saved; ``output`` is what was
    computed, as JSON can hold it, which a journal keeps beside that.
    """

    layout: Layout
    extra_info: dict[str, Any]
    output: Any = None
    samples: tuple[float, ...] = ()
    speedup: float | None = None
    efficiency: float | None = None

    @property
    def throughput(self) -> float | None:
        """Units of work per second; None where nothing was timed."""
        return throughput(self.samples) if self.samples else None

    @property
    def format(self) -> ResultFormat:
        """Return how results of its mode are named."""
        return format_of(self.extra_info)

    def marked(self, mark: str) -> Self:
        """Return the result with one more mark."""
        return replace(self, extra_info=self.extra_info | {"marks": [*self.extra_info["marks"], mark]})

    def scaled(self, alone_per_s: float, origin: str) -> Self:
        """Return the result with its speed-up over one device of the same engine, and where that figure came from.

        Ranks that share a core or a GPU have a speed-up, but no efficiency.
        """
        assert self.throughput is not None
        gain = speedup(self.throughput, alone_per_s)
        crowded = self.extra_info["oversubscribed"] or self.extra_info["shared_gpu"]
        share = None if crowded else efficiency(gain, self.layout.world_size)
        reference = {
            "engine": self.extra_info["engine"],
            "gpus": 1,
            self.format.throughput: alone_per_s,
            "origin": origin,
        }
        shares = self.extra_info["time_lost"]
        info = self.extra_info | {
            "speedup": gain,
            "efficiency": share,
            "reference": reference,
            "time_lost": shares | {"other": other(shares, share)},
        }
        return replace(self, speedup=gain, efficiency=share, extra_info=info)


@dataclass(frozen=True)
class Launch:
    """What one life of a rank group gave: every rank's report, the world's rounds, and what was computed.

    ``observation`` is None where nobody looked at the machine. ``repeated`` are the marks of disturbed launches that it
    stands for; ``profiles`` are what a profiled round after the timed ones showed, by rank.
    """

    reports: tuple[Any, ...]
    rounds: tuple[Any, ...]
    output: Any
    observation: Observation | None
    repeated: tuple[str, ...] = ()
    profiles: tuple[RankProfile, ...] = ()
