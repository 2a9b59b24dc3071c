"""A case made concrete: which collective, on how many ranks."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.collectives.bandwidth import Collective
from pytest_gpt_dist.parallel import Layout


@dataclass(frozen=True)
class CollectiveCase:
    """Collective × size × device count; ``strategy`` is the first two as an id has them, ``all_reduce-64KiB``."""

    strategy: str
    collective: Collective
    dtype: str
    engine: str = "native"
    degenerate: str | None = None

    def __str__(self) -> str:
        return f"{self.collective.kind} of {self.collective.bytes:,} bytes on {self.gpus} ranks"

    @property
    def layout(self) -> Layout:
        """Return a world of that many ranks, in no part of which anything is divided."""
        return Layout(dp=self.collective.ranks)

    @property
    def gpus(self) -> int:
        """Return the number of its ranks."""
        return self.collective.ranks

    @property
    def workload(self) -> tuple[str, int, str]:
        """Return what is done, on however many ranks."""
        return self.collective.kind, self.collective.bytes, self.dtype
