"""Batches as libraries generate them: all rows at once and to one length, whatever microbatch they belong to."""

from collections.abc import Iterator, Sequence

from pytest_gpt_dist.inference.engines.protocol import Batch, Microbatch, Stopwatch


def working(batch: Batch, step: int) -> Iterator[tuple[Microbatch, slice]]:
    """Yield the microbatches that still want a token at a step, each with its rows in the batch."""
    start = 0
    for microbatch in batch.microbatches:
        stop = start + len(microbatch.requests)
        if step < microbatch.steps:
            yield microbatch, slice(start, stop)
        start = stop


def note_token(batch: Batch, step: int, stopwatch: Stopwatch | None) -> None:
    """Tell the stopwatch that every row has its token of a step."""
    if stopwatch is not None:
        for microbatch, _ in working(batch, step):
            stopwatch.token(microbatch)


def collect(batch: Batch, rows: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Return by request index as many of its row's new tokens as it wants."""
    return {
        request.index: list(row[: request.new_tokens])
        for request, row in zip(batch.requests, rows, strict=True)
    }
