"""Which engine runs when in a pool of launches: pairs of one native and one slowed launch, in random blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from pytest_gpt_dist.compare.paired import confirmation_order, screening_order

NATIVE = "native"
SLOWED = ("slower2", "slower3", "slower5", "slower10")
KNOWN = (*SLOWED, "slower20")
BLOCK = 2 * len(SLOWED)
"""Launches until every slowed engine has run once more, each next to a native launch."""
SPELL = 12
"""Launches until the neighbour may come or go."""
Neighbour = Literal["", "same core", "other core"]


def neighbours(launches: int, seed: int) -> tuple[Neighbour, ...]:
    """Return where a neighbour works during each launch: in every second spell, on a core that is drawn."""
    generator = random.Random(f"neighbours {seed}")
    nobody: Neighbour = ""
    cores: tuple[Neighbour, Neighbour] = ("same core", "other core")
    found: list[Neighbour] = []
    while len(found) < launches:
        found += [nobody] * SPELL
        found += [generator.choice(cores)] * SPELL
    return tuple(found[:launches])


def schedule(blocks: int, seed: int, slowed_engines: Sequence[str] = SLOWED) -> tuple[str, ...]:
    """Return the engines of all launches, in their order.

    Launches 2j and 2j + 1 are a pair. A block has a pair of each slowed engine, in random order. Who is first in
    the pairs of one slowed engine follows the order of a session's pairs, again and again.
    """
    generator = random.Random(seed)
    pairs = screening_order() + confirmation_order()
    engines: list[str] = []
    for block in range(blocks):
        native_first = pairs[block % len(pairs)][0] == "before"
        for slowed in generator.sample(slowed_engines, len(slowed_engines)):
            engines += [NATIVE, slowed] if native_first else [slowed, NATIVE]
    return tuple(engines)
