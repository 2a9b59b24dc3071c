"""How tokens are chosen, against transformers' own logits processors."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.engines import Sampling
from pytest_gpt_dist.model.sampling import draw, gather_logits, greedy, keep_top_p, penalise, sample
from pytest_gpt_dist.parallel import Span, split


class Pretended:
    """The gathering of one rank among slices that are all known: what a group of ranks would return."""

    def __init__(self, slices: list[torch.Tensor]) -> None:
        self.slices = slices

    def all_reduce(self, x: torch.Tensor) -> None:
        raise AssertionError("choosing a token reduces nothing")

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.slices)


def logits_of(seed: int, rows: int = 3, vocabulary: int = 101, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, vocabulary, generator=generator, dtype=torch.float64) * scale


def best_pairs(logits: torch.Tensor, spans: tuple[Span, ...]) -> list[torch.Tensor]:
    pairs = []
    for span in spans:
        value, token = logits[:, span.slice].max(dim=-1)
        pairs.append(torch.stack((value.double(), (token + span.start).double())))
    return pairs


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.booleans())
def test_greedy_takes_the_first_of_the_largest_in_any_division(seed: int, ranks: int, ties: bool) -> None:
    logits = logits_of(seed)
    if ties:
        logits = logits.round()
    spans = split(logits.shape[1], ranks)
    pretended = Pretended(best_pairs(logits, spans))
    expected = torch.tensor([row.tolist().index(max(row.tolist())) for row in logits])
    for span in spans:
        assert torch.equal(greedy(logits[:, span.slice], span, pretended), expected)
    assert torch.equal(greedy(logits, Span(0, 101), None), expected)


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_gathered_logits_are_the_whole(ranks: int) -> None:
    logits = logits_of(0)
    spans = split(101, ranks)
    width = max(map(len, spans))
    slices = [torch.nn.functional.pad(logits[:, span.slice], (0, width - len(span))) for span in spans]
    assert torch.equal(gather_logits(logits[:, spans[-1].slice], spans, Pretended(slices)), logits)


@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.3])
def test_the_penalty_is_that_of_transformers(penalty: float) -> None:
    logits = logits_of(1)
    tokens = torch.tensor([[1, 2, 3, 3], [50, 50, 50, 50], [0, 100, 7, 8]])
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, tokens, True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(tokens, logits.clone())
    assert torch.equal(penalise(logits, seen, penalty), expected)
    for span in split(101, 4):
        part = penalise(logits[:, span.slice], seen[:, span.slice], penalty)
        assert torch.equal(part, expected[:, span.slice])


def test_the_penalty_is_not_rounded_to_16_bits() -> None:
    logits = torch.tensor([[3.0, -3.0]], dtype=torch.bfloat16)
    assert penalise(logits, torch.tensor([[True, False]]), 1.1)[0, 0].item() == pytest.approx(
        3 / 1.1, rel=1e-6
    )


@pytest.mark.parametrize("top_p", [1e-9, 0.1, 0.5, 0.9, 0.999])
def test_top_p_keeps_what_transformers_keeps(top_p: float) -> None:
    logits = logits_of(2)
    expected = TopPLogitsWarper(top_p)(torch.zeros(3, 1, dtype=torch.long), logits.clone())
    assert torch.equal(keep_top_p(logits, top_p), expected)


@settings(deadline=None)
@given(
    st.integers(0, 9),
    st.one_of(st.none(), st.floats(0.2, 3)),
    st.one_of(st.none(), st.floats(0.05, 1)),
    st.floats(0, 1, exclude_max=True),
)
def test_a_draw_falls_where_transformers_distribution_puts_it(
    seed: int, temperature: float | None, top_p: float | None, uniform: float
) -> None:
    logits = logits_of(seed)
    scores, none = logits.clone(), torch.zeros(3, 1, dtype=torch.long)
    if temperature is not None:
        scores = TemperatureLogitsWarper(temperature)(none, scores)
    if top_p is not None:
        scores = TopPLogitsWarper(top_p)(none, scores)
    probabilities = scores.softmax(-1)
    tokens = sample(logits, torch.full((3,), uniform, dtype=torch.float64), temperature, top_p)
    for row, token in zip(probabilities.tolist(), tokens.tolist(), strict=True):
        assert row[token] > 0
        below = math.fsum(row[:token])
        assert below - 1e-12 <= uniform <= below + row[token] + 1e-12


def test_draws_at_the_edges_fall_on_kept_tokens() -> None:
    logits = torch.tensor([[-50.0, 0.0, 0.0, -50.0]])
    edges = [0.0, 1 - 2**-53]
    assert [sample(logits, torch.tensor([u], dtype=torch.float64), None, 0.9).item() for u in edges] == [1, 2]


PINNED = [0.5213453336981362, 0.15165573484536965, 0.2977414539543911, 0.9949097102597324]


def test_draws_are_these_for_ever() -> None:
    assert [draw(0, 0, 0), draw(0, 0, 1), draw(0, 1, 0), draw(1, 0, 0)] == PINNED


def test_draws_are_uniform_and_unlike() -> None:
    draws = sorted(
        draw(seed, request, position) for seed in range(4) for request in range(20) for position in range(50)
    )
    assert len(set(draws)) == 4000
    assert max(abs(value - place / 4000) for place, value in enumerate(draws)) < 0.03
    assert all(0 <= low < high < 1 for low, high in pairwise(draws))


def test_sampling_is_on_when_temperature_or_top_p_is_given() -> None:
    assert not Sampling().on
    assert not Sampling(repetition_penalty=1.2, seed=7).on
    assert Sampling(temperature=1.0).on
    assert Sampling(top_p=1.0).on


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": -1.0},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(UsageError, match=f"{name} .*must be above 0"):
        Sampling(**wrong)  # type: ignore[arg-type]


def test_the_lowest_temperature_takes_the_largest_logit() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [-4.0, -5.0, -6.0]])
    draws = torch.tensor([0.999, 0.0], dtype=torch.float64)
    assert sample(logits, draws, temperature=5e-324, top_p=None).tolist() == [1, 0]
