"""Whether ranks did what was asked of them: every token there, noted, and of the reference."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.exactness.reference_cache import Reference
from pytest_gpt_dist.inference.exactness.tolerance import EXACT_TOKENS
from pytest_gpt_dist.inference.messages import RankReport
from pytest_gpt_dist.inference.times import Round
from pytest_gpt_dist.measure.result import WrongResultError
from pytest_gpt_dist.measure.time_lost import overheads


def in_prompt_order(case: Case, reports: Sequence[RankReport]) -> list[list[int]]:
    """Return the generated tokens of each request, as all ranks together report them."""
    by_index: dict[int, tuple[int, ...]] = {}
    for report in reports:
        by_index |= report.tokens or {}
    return [list(by_index.get(request.index, ())) for request in case.requests]


def check_counts(case: Case, tokens: Sequence[Sequence[int]]) -> None:
    """Require the tokens that were asked for, because throughput counts them."""
    vocabulary = case.source.config.dimensions.vocabulary
    for request, generated in zip(case.requests, tokens, strict=True):
        if len(generated) != request.new_tokens:
            raise WrongResultError(
                f"request {request.index} has {len(generated)} new tokens, {request.new_tokens} were asked for"
            )
        if outside := [token for token in generated if not 0 <= token < vocabulary]:
            raise WrongResultError(
                f"request {request.index} has token {outside[0]}, outside the vocabulary of {vocabulary}"
            )


def check_marks(case: Case, rounds: Sequence[Round]) -> None:
    """Require a mark for every token of every request, else latencies are those of something else."""
    expected = [
        [[micro.steps for micro in batch.microbatches] for batch in batches] for batches in case.batches
    ]
    for each in rounds:
        noted = [[[len(times) for times in batch.tokens_s] for batch in batches] for batches in each.replicas]
        if noted != expected:
            raise WrongResultError(f"the engine noted {noted} tokens of its microbatches, not {expected}")


def check_tokens(case: Case, reference: Reference, tokens: Sequence[Sequence[int]]) -> None:
    """Require that the timed rounds, too, began with the reference's greedy tokens where those are exact."""
    sampling = case.workload.sampling
    if sampling.on or sampling.repetition_penalty != 1 or case.workload.dtype not in EXACT_TOKENS:
        return
    for request, generated in zip(case.requests, tokens, strict=True):
        expected = reference.tokens[request.index][: len(generated)]
        if tuple(generated[: len(expected)]) != expected:
            raise WrongResultError(
                f"request {request.index} began with tokens {list(generated[: len(expected)])},"
                f" its reference with {list(expected)}"
            )


def world_rounds(case: Case, reports: Sequence[RankReport]) -> list[Round]:
    """Return each round of the world: as long as its slowest rank, with the batches of each replica's last stage."""
    speakers = [lane[-1] for lane in case.layout.pipelines if case.layout.coordinates(lane[-1]).tp == 0]
    return [
        Round(
            max(each.seconds for each in ranks),
            tuple(ranks[speaker].batches for speaker in speakers),
            overheads(case.layout, [each.seconds for each in ranks], [each.comm_time for each in ranks]),
        )
        for ranks in zip(*(report.rounds for report in reports), strict=True)
    ]
