"""Which requests are worked on together."""

from collections.abc import Sequence
from typing import Literal

from pytest_gpt_dist.engines.protocol import Batch, Microbatch, Request
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.topology import Dimensions, Layout, deal, split

Scaling = Literal["weak", "strong"]


def plan(
    requests: Sequence[Request],
    layout: Layout,
    batch_size: int,
    scaling: Scaling = "weak",
    microbatches: int | None = None,
) -> tuple[tuple[Batch, ...], ...]:
    """Deal requests over the replicas and cut each replica's into batches and those into microbatches.

    Args:
        requests: of the whole world.
        layout: degrees of the world.
        batch_size: rows per device (``weak``), or rows in the whole world (``strong``).
        scaling: what the batch size is counted per.
        microbatches: of each batch; the number of stages if None. A batch of fewer rows has fewer.

    Returns:
        For each replica the batches that it generates one after the other; none if it got no request.

    Raises:
        UsageError: when the batch size or the number of microbatches is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size}: must be at least 1")
    if microbatches is not None and microbatches < 1:
        raise UsageError(f"microbatches {microbatches}: must be at least 1")
    rows = batch_size * layout.pp * layout.tp if scaling == "weak" else -(-batch_size // layout.dp)
    hands = deal([len(request.prompt) + request.new_tokens for request in requests], layout.dp)
    return tuple(
        tuple(
            _batch([requests[index] for index in hand[first : first + rows]], microbatches or layout.pp)
            for first in range(0, len(hand), rows)
        )
        for hand in hands
    )


def check_requests(batches: Sequence[Batch], size: Dimensions) -> None:
    """Raise a UsageError where a request does not fit into the model's context or vocabulary."""
    for request in (request for batch in batches for request in batch.requests):
        total = len(request.prompt) + request.new_tokens
        if total > size.positions:
            raise UsageError(
                f"request {request.index}: {len(request.prompt)} prompt tokens and {request.new_tokens} "
                f"new ones are more than the model's context of {size.positions}"
            )
        if not 0 <= min(request.prompt) <= max(request.prompt) < size.vocabulary:
            raise UsageError(
                f"request {request.index}: its prompt has tokens outside the vocabulary of {size.vocabulary}"
            )


def _batch(requests: Sequence[Request], microbatches: int) -> Batch:
    parts = split(len(requests), min(microbatches, len(requests)))
    return Batch(tuple(Microbatch(tuple(requests[part.slice])) for part in parts))
