"""What a generation came to, for who asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.measure.statistics import LatencySummary
from pytest_gpt_dist.parallel import Layout


@dataclass(frozen=True, kw_only=True)
class GenerationResult(Result):
    """A checked generation.

    ``tokens`` are the generated ids only, in prompt order, and the ``output`` that a journal keeps; latencies are
    seconds, numbers that are their mean and carry ``p50``, ``p95`` and ``p99``.
    """

    tokens_per_s: float | None = None
    latency_s: LatencySummary | None = None
    ttft_s: LatencySummary | None = None
    tpot_s: LatencySummary | None = None
    itl_s: LatencySummary | None = None

    @property
    def tokens(self) -> list[list[int]]:
        """The generated ids, by prompt."""
        tokens: list[list[int]] = self.output
        return tokens

    @classmethod
    def of(
        cls, info: dict[str, Any], tokens: list[list[int]], samples: tuple[float, ...]
    ) -> GenerationResult:
        """Return the result that these entries make. KeyError or TypeError where they make none."""
        return cls(
            output=tokens,
            layout=Layout(**info["layout"]),
            extra_info=info,
            samples=samples,
            tokens_per_s=info["tokens_per_s"],
            latency_s=_summary(info["latency_s"]),
            ttft_s=_summary(info["ttft_s"]),
            tpot_s=_summary(info["tpot_s"]),
            itl_s=_summary(info["itl_s"]),
            speedup=info["speedup"],
            efficiency=info["efficiency"],
        )


def _summary(saved: dict[str, float] | None) -> LatencySummary | None:
    return None if saved is None else LatencySummary(**saved)
