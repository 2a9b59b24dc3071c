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

    A row's length is from half of ``width`` to all of it, and depends on its place among ``period`` rows alone, so that
    every step has as many labels as any other one, whoever gets which row. The second half of the places makes up for
    the first one, so that more rows have no more labels each than few.
    """

    seed: int
    vocabulary: int
    width: int
    period: int

    def length(self, row: int) -> int:
        """Return the number of tokens of a row, from 2."""
        shortest, half, place = max(2, self.width // 2), self.period // 2, row % self.period
        if half <= place < self.period - half:
            return (shortest + self.width) // 2
        opposite = place >= half
        drawn = int(self._bits(_LENGTHS, place - (self.period - half) if opposite else place, 1)[0])
        length = shortest + drawn % (self.width - shortest + 1)
        return shortest + self.width - length if opposite else length

    def tokens(self, row: int) -> Sequence[int]:
        """Return the tokens of a row."""
        found: list[int] = (self._bits(_TOKENS, row, self.length(row)) % self.vocabulary).tolist()
        return found

    def _bits(self, purpose: int, place: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        # The raw bits of this generator are fixed for ever; numpy may change what its distributions make of them.
        generator = np.random.Philox(key=self.seed & _KEY, counter=[0, 0, place, purpose])
        return generator.random_raw(count)
