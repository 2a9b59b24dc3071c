"""The degrees of a world and where each rank stands in it."""

import re
from dataclasses import dataclass

from pytest_gpt_dist.bounds import MOST_DEVICES, device_count
from pytest_gpt_dist.errors import UsageError, quoted

_ID = re.compile(r"dp([1-9][0-9]{0,8})pp([1-9][0-9]{0,8})tp([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A rank's place: which replica (``dp``), which stage of it (``pp``), which slice of that (``tp``)."""

    dp: int = 0
    pp: int = 0
    tp: int = 0

    def __str__(self) -> str:
        return f"dp{self.dp} pp{self.pp} tp{self.tp}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The degrees ``dp × pp × tp`` of a world.

    Ranks are numbered with ``tp`` fastest, then ``pp``, then ``dp``, so that the chattiest group sits on
    neighbouring devices.

    Raises:
        UsageError: when a degree is not a whole number of at least 1, or there are more ranks than can be meant.
    """

    dp: int = 1
    pp: int = 1
    tp: int = 1

    def __post_init__(self) -> None:
        for name, degree in (("dp", self.dp), ("pp", self.pp), ("tp", self.tp)):
            device_count(degree, f"{name}=")
        if self.world_size > MOST_DEVICES:
            raise UsageError(
                f"{self}: {self.world_size:,} ranks are more than the {MOST_DEVICES:,} there can be"
            )

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """Read the ``id`` of a layout back, such as ``dp1pp2tp2``.

        Raises:
            UsageError: when the text is no such id.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise UsageError(
                f"layout {quoted(text)}: expected the form dp1pp2tp2, with degrees of at least 1"
            )
        return cls(*(int(degree) for degree in match.groups()))

    def __str__(self) -> str:
        return f"dp{self.dp}·pp{self.pp}·tp{self.tp}"

    @property
    def id(self) -> str:
        """The layout in letters and digits alone, as case names have it: ``dp1pp2tp2``."""
        return f"dp{self.dp}pp{self.pp}tp{self.tp}"

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.dp * self.pp * self.tp

    def coordinates(self, rank: int) -> Coordinates:
        """Return where a rank stands.

        Raises:
            ValueError: when there is no such rank.
        """
        if not 0 <= rank < self.world_size:
            raise ValueError(f"rank {rank} is not one of the {self.world_size} ranks of {self}")
        rest, tp = divmod(rank, self.tp)
        dp, pp = divmod(rest, self.pp)
        return Coordinates(dp, pp, tp)

    def rank(self, at: Coordinates) -> int:
        """Return the rank that stands there."""
        return (at.dp * self.pp + at.pp) * self.tp + at.tp

    def where(self, rank: int) -> str:
        """Say where a rank stands, for messages: ``dp0 pp1 tp0 of dp1·pp2·tp2``."""
        return f"{self.coordinates(rank)} of {self}"

    @property
    def tensor_groups(self) -> tuple[tuple[int, ...], ...]:
        """The ranks that share one stage of one replica, group by group."""
        return tuple(tuple(range(start, start + self.tp)) for start in range(0, self.world_size, self.tp))

    @property
    def pipelines(self) -> tuple[tuple[int, ...], ...]:
        """The lanes: ranks of equal ``dp`` and ``tp``, from the first stage to the last."""
        return tuple(
            tuple(self.rank(Coordinates(dp, pp, tp)) for pp in range(self.pp))
            for dp in range(self.dp)
            for tp in range(self.tp)
        )

    @property
    def replicas(self) -> tuple[tuple[int, ...], ...]:
        """The ranks that together hold one whole model, replica by replica."""
        size = self.pp * self.tp
        return tuple(tuple(range(start, start + size)) for start in range(0, self.world_size, size))
