"""Which requests are worked on together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pytest_gpt_dist.config.choices import Batching
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.dispatch import dispatch
from pytest_gpt_dist.inference.engines.protocol import Batch, Microbatch, Request
from pytest_gpt_dist.parallel import Dimensions, Layout, split

Scaling = Literal["weak", "strong"]

_MOST_PARTS = 4
_TOKENS_OF_A_PART = 64


def plan(
    requests: Sequence[Request],
    layout: Layout,
    batch_size: int,
    scaling: Scaling = "weak",
    microbatches: int | None = None,
    *,
    batching: Batching = "in-order",
    token_budget: int | None = None,
) -> tuple[tuple[Batch, ...], ...]:
    """Deal requests over the replicas and cut each replica's into batches and those into microbatches.

    Args:
        requests: of the whole world.
        layout: degrees of the world.
        batch_size: most rows per device (``weak``), or most rows in the whole world (``strong``).
        scaling: what the batch size and the budget are counted per.
        microbatches: of each batch; the number of stages if None. A batch of fewer rows has fewer.
        batching: whether a replica's requests keep their order or are sorted by length before they are cut,
            and whether the budget cuts, too.
        token_budget: most tokens of a batch (``padded_tokens``) under ``token-budget``, counted as the batch
            size is.

    Returns:
        For each replica the batches that it generates one after the other; none if it got no request.

    Raises:
        UsageError: when the batch size or the number of microbatches is below 1, or a request alone exceeds
            the budget.
    """
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size}: must be at least 1")
    if microbatches is not None and microbatches < 1:
        raise UsageError(f"microbatches {microbatches}: must be at least 1")
    devices = layout.pp * layout.tp
    rows = batch_size * devices if scaling == "weak" else -(-batch_size // layout.dp)
    budget = None
    if batching == "token-budget" and token_budget is not None:
        budget = token_budget * devices if scaling == "weak" else token_budget // layout.dp
    shares = dispatch([len(request.prompt) + request.new_tokens for request in requests], layout.dp)
    return tuple(
        tuple(
            _batch(part, microbatches or layout.pp)
            for part in _cut(_ordered([requests[index] for index in share], batching), rows, budget)
        )
        for share in shares
    )


def prompts_in_parts(
    replicas: Sequence[Sequence[Batch]], layout: Layout, device: str
) -> tuple[tuple[Batch, ...], ...]:
    """Have prompts go through a pipeline in parts, so that a later stage does not wait for all of a microbatch.

    With ``m`` microbatches on ``p`` stages the stages stand still for ``(p - 1) / (m + p - 1)`` of a prefill;
    parts take the place of microbatches in that fraction (Huang et al. 2019, GPipe, section 2.3). A microbatch
    stays whole where each part would pay again for what is dear there: on a GPU for the launch of all kernels,
    in a stage that several ranks share for all its all-reduces.

    Args:
        replicas: the batches of each replica.
        layout: degrees of the world.
        device: ``cpu`` or ``cuda``.
    """
    if layout.pp == 1 or layout.tp > 1 or device != "cpu":
        return tuple(map(tuple, replicas))
    return tuple(
        tuple(Batch(tuple(map(_parted, batch.microbatches))) for batch in batches) for batches in replicas
    )


def padded_tokens(requests: Sequence[Request]) -> int:
    """Tokens of a batch of these: each row is as long as the longest prompt and the most new tokens of any."""
    longest = max(len(request.prompt) for request in requests)
    return len(requests) * (longest + max(request.new_tokens for request in requests))


def padding_fraction(replicas: Sequence[Sequence[Batch]]) -> float:
    """Positions that only fill prompts up to the longest of their microbatch ÷ all positions of the prefills."""
    microbatches = [micro for batches in replicas for batch in batches for micro in batch.microbatches]
    computed = sum(len(micro.requests) * micro.prompt_tokens for micro in microbatches)
    given = sum(len(request.prompt) for micro in microbatches for request in micro.requests)
    return (computed - given) / computed if computed else 0.0


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


def _ordered(requests: Sequence[Request], batching: Batching) -> Sequence[Request]:
    if batching == "in-order":
        return requests
    return sorted(requests, key=lambda request: (len(request.prompt), request.new_tokens, request.index))


def _cut(requests: Iterable[Request], rows: int, budget: int | None) -> list[list[Request]]:
    """Return requests one after the other, each batch as large as its rows and its budget allow."""
    batches: list[list[Request]] = []
    for request in requests:
        if budget is not None and padded_tokens([request]) > budget:
            raise UsageError(
                f"request {request.index}: {len(request.prompt)} prompt tokens and {request.new_tokens} new ones"
                f" are more than the {budget} that the token budget leaves a batch; raise --gpt-token-budget"
            )
        if (
            batches
            and len(batches[-1]) < rows
            and (budget is None or padded_tokens([*batches[-1], request]) <= budget)
        ):
            batches[-1].append(request)
        else:
            batches.append([request])
    return batches


def _parted(microbatch: Microbatch) -> Microbatch:
    rows = len(microbatch.requests)
    most = rows * microbatch.prompt_tokens // _TOKENS_OF_A_PART
    return replace(microbatch, parts=max(1, min(rows, most, _MOST_PARTS)))


def _batch(requests: Sequence[Request], microbatches: int) -> Batch:
    parts = split(len(requests), min(microbatches, len(requests)))
    return Batch(tuple(Microbatch(tuple(requests[part.slice])) for part in parts))
