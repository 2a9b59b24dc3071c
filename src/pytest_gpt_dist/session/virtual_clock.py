"""The clock through which pytest-benchmark receives times that were measured elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class VirtualClock:
    """A timer that shows, around each call of ``step``, exactly the next of the given samples.

    pytest-benchmark computes ``timer() - timer()`` around each round; starting every round at zero keeps
    the difference equal to the sample to the last bit.
    """

    __name__ = "gpt_dist_virtual_clock"

    def __init__(self) -> None:
        self._now_s = 0.0
        self._samples: Iterator[float] = iter(())

    def load(self, samples_s: Sequence[float]) -> None:
        """Take the samples, in seconds, that the coming steps will show."""
        self._samples = iter(samples_s)

    def rewind(self) -> None:
        """Before a round: back to zero."""
        self._now_s = 0.0

    def step(self) -> None:
        """During a round: forward by the next sample; a profiler's extra call comes after the last."""
        self._now_s += next(self._samples, 0.0)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now_s
