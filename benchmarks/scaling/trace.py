"""Where the rounds of a case went: what each rank noted of its communication, and what that comes to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from pytest_gpt_dist.topology import Layout

FOLDER_VARIABLE = "GPT_DIST_TRACE_FOLDER"
"""Names the folder in which each rank of a traced case leaves a file."""


@dataclass(frozen=True)
class Generation:
    """One rank's share of generating everything once.

    Attributes:
        seconds: from its beginning to its end.
        collectives_s: seconds in each all-reduce and all-gather, in their order.
        hops_s: seconds in all sends and receives, waiting for them included.
    """

    seconds: float
    collectives_s: tuple[float, ...]
    hops_s: float


@dataclass(frozen=True)
class Communication:
    """Where a round went, in seconds, the mean of ranks and rounds.

    A collective cannot end before its last rank has come, who waits for nobody: the shortest time that one of
    its ranks spent in it is what the collective itself took, and what the others spent there beyond that is
    waiting. It needs no barrier, which would change what is measured.

    Attributes:
        layout: the layout's id.
        round_s: a whole round.
        transfer_s: collectives, from when their last rank has come.
        waiting_s: in collectives, for the last rank.
        hops_s: sends and receives, the waiting for the stage before included.
    """

    layout: str
    round_s: float
    transfer_s: float
    waiting_s: float
    hops_s: float

    @property
    def inside_s(self) -> float:
        """Time in communication, of whichever kind."""
        return self.transfer_s + self.waiting_s + self.hops_s

    @property
    def outside_s(self) -> float:
        """The rest of the round."""
        return self.round_s - self.inside_s


def communication(layout: Layout, ranks: Sequence[Sequence[Generation]], rounds: int) -> Communication:
    """What the last ``rounds`` generations of each rank, those that were timed, spent where.

    Raises ValueError where the ranks of a group did not make the same number of collectives.
    """
    timed = [generations[-rounds:] for generations in ranks]
    own_s = [sum(generation.collectives_s) for generations in timed for generation in generations]
    last_s = [
        len(group) * sum(map(min, zip(*(timed[rank][number].collectives_s for rank in group), strict=True)))
        for number in range(rounds)
        for group in layout.tensor_groups
    ]
    transfer_s = sum(last_s) / len(own_s)
    every = [generation for generations in timed for generation in generations]
    return Communication(
        layout=layout.id,
        round_s=fmean(generation.seconds for generation in every),
        transfer_s=transfer_s,
        waiting_s=fmean(own_s) - transfer_s,
        hops_s=fmean(generation.hops_s for generation in every),
    )


def trace_file(folder: Path, layout: Layout, rank: int) -> Path:
    """Where a rank leaves its generations."""
    return folder / f"{layout.id}-rank{rank}.json"


def write_trace(file: Path, generations: Sequence[Generation]) -> None:
    """Leave them there; FileExistsError if another launch of the session has done so."""
    with file.open("x") as stream:
        json.dump([asdict(generation) for generation in generations], stream)


def read_trace(file: Path) -> tuple[Generation, ...]:
    """The generations of a rank."""
    return tuple(
        Generation(entry["seconds"], tuple(entry["collectives_s"]), entry["hops_s"])
        for entry in json.loads(file.read_text())
    )
