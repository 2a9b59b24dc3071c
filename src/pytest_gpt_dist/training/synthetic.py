"""Seeded rows of tokens: each a function of the seed and of its own number, so that any rank can make any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LENGTHS, _TOKENS = 1, 2
_KEY = 2**64 - 1


@dataclass(frozen=True, slots=True)
class SyntheticSamples:
    """Endless rows of random tokens with unequal label counts.

    A row's length depends on its place among ``period`` rows alone, so that every step has as many labels as any other
    one, whoever gets which row. It is from half of ``width`` to all of it.
    """

    seed: int
    vocabulary: int
    width: int
    period: int

    def length(self, row: int) -> int:
        """Return the number of tokens of a row, from 2."""
        shortest = max(2, self.width // 2)
        drawn = int(self._bits(_LENGTHS, row % self.period, 1)[0])
        return shortest + drawn % (self.width - shortest + 1)

    def tokens(self, row: int) -> Sequence[int]:
        """Return the tokens of a row."""
        found: list[int] = (self._bits(_TOKENS, row, self.length(row)) % self.vocabulary).tolist()
        return found

    def _bits(self, purpose: int, place: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        # The raw bits of this generator are fixed for ever; numpy may change what its distributions make of them.
        generator = np.random.Philox(key=self.seed & _KEY, counter=[0, 0, place, purpose])
        return generator.random_raw(count)
