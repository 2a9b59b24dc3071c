"""Which rows a training step takes, and which rank gets them in which microbatch: pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How the rows of a step are dealt: ``micro × accumulation × data_ranks`` of them.

    Attributes:
        micro: rows of a microbatch, which one forward pass takes.
        accumulation: microbatches of a data-parallel rank in a step.
        data_ranks: number of data-parallel ranks.
    """

    micro: int
    accumulation: int
    data_ranks: int

    @property
    def rows(self) -> int:
        """Number of rows of a step, in the whole world."""
        return self.micro * self.accumulation * self.data_ranks

    def of_rank(self, step: int, data_rank: int) -> tuple[range, ...]:
        """Return the rows of each microbatch of a data-parallel rank in a step, counted from 0.

        Rows are taken in their order: a microbatch of each rank, then the next one of each.
        """
        if not 0 <= data_rank < self.data_ranks:
            raise ValueError(f"data-parallel rank {data_rank} is not one of {self.data_ranks}")
        first = step * self.rows
        return tuple(
            range(start, start + self.micro)
            for start in (
                first + (turn * self.data_ranks + data_rank) * self.micro for turn in range(self.accumulation)
            )
        )

    def of_world(self, step: int) -> range:
        """Return the rows of a step."""
        return range(step * self.rows, (step + 1) * self.rows)


def plan_batches(
    micro: int, accumulation: int | None, global_batch: int | None, data_ranks: int, *, at_least: int = 1
) -> BatchPlan:
    """Return how rows are dealt to data-parallel ranks.

    Args:
        micro: rows of a microbatch.
        accumulation: microbatches of a rank in a step; None for what the global batch leaves, else ``at_least``.
        global_batch: rows of a step in the whole world; None for what the others make.
        data_ranks: number of data-parallel ranks.
        at_least: microbatches that a step takes where nobody says how many, as for the stages of a pipeline.

    Raises:
        UsageError: when the three do not multiply to the global batch.
    """
    if global_batch is None:
        return BatchPlan(micro, accumulation or at_least, data_ranks)
    if accumulation is None:
        turns, rest = divmod(global_batch, micro * data_ranks)
        if rest or not turns:
            raise UsageError(
                f"a global batch of {global_batch} rows is no multiple of {micro} (micro batch) × {data_ranks}"
                " (data-parallel ranks)"
            )
        return BatchPlan(micro, turns, data_ranks)
    found = BatchPlan(micro, accumulation, data_ranks)
    if found.rows != global_batch:
        raise UsageError(
            f"{micro} (micro batch) × {accumulation} (accumulation) × {data_ranks} (data-parallel ranks)"
            f" = {found.rows} rows, but the global batch is {global_batch}"
        )
    return found


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of token ids in their order, from the start again at the end; shorter ones are padded to ``width``.

    Of a row of ``length`` tokens each but the last one has a label, its successor.
    """

    rows: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Length to which every row is padded, on every rank alike."""
        return max(map(len, self.rows))

    def length(self, row: int) -> int:
        """Return the number of tokens of a row."""
        return len(self.rows[row % len(self.rows)])

    def tokens(self, row: int) -> Sequence[int]:
        """Return the tokens of a row."""
        return self.rows[row % len(self.rows)]


def given_samples(rows: Iterable[Iterable[int]], vocabulary: int, positions: int) -> Samples:
    """Return samples that were given in code. UsageError, naming the row, where a model cannot be trained on them."""
    found = tuple(tuple(row) for row in rows)
    if not found:
        raise UsageError("samples: expected at least one list of token ids")
    for index, row in enumerate(found):
        if not 2 <= len(row) <= positions:
            raise UsageError(
                f"samples[{index}]: {len(row)} tokens, expected from 2 to the model's context of {positions}"
            )
        for token in row:
            if type(token) is not int or not 0 <= token < vocabulary:
                raise UsageError(f"samples[{index}]: {token!r} is no token of a vocabulary of {vocabulary}")
    return Samples(found)
