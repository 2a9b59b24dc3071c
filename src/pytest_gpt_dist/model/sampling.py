"""How the next token is chosen from logits that are spread over the tensor-parallel ranks.

Semantics are those of transformers' ``RepetitionPenaltyLogitsProcessor``, ``TemperatureLogitsWarper`` and
``TopPLogitsWarper``, in that order. Nothing here waits for the device.
"""

import hashlib
from collections.abc import Sequence

import torch

from pytest_gpt_dist.model.decoder import TensorGroup
from pytest_gpt_dist.parallel import Span


def greedy(logits: torch.Tensor, vocabulary: Span, group: TensorGroup | None) -> torch.Tensor:
    """Return the token with the largest logit, the lowest one of equals.

    Only the best pair (value, token) of each rank is communicated.

    Args:
        logits: this rank's slice, ``[rows, len(vocabulary)]``.
        vocabulary: which tokens the slice is for.
        group: the ranks that share the vocabulary, in its order; None if this rank has all of it.

    Returns:
        ``[rows]``, int64, the same on all ranks.
    """
    # Not argmax: in bfloat16 on a CPU it takes five times as long as the value and its place together.
    value, token = logits.max(dim=-1)
    if group is None:
        return token
    # float64 holds every logit and every token exactly.
    best = group.all_gather(torch.stack((value.double(), (token + vocabulary.start).double())))
    winner = best[:, 0].argmax(dim=0, keepdim=True)
    return best[:, 1].gather(0, winner)[0].long()


def gather_logits(logits: torch.Tensor, spans: Sequence[Span], group: TensorGroup | None) -> torch.Tensor:
    """Return the logits of the whole vocabulary, ``[rows, vocabulary]``, from the ranks' slices.

    Args:
        logits: this rank's slice, ``[rows, len(its span)]``.
        spans: the slice of every rank.
        group: the ranks that share the vocabulary; None if this rank has all of it.
    """
    if group is None:
        return logits
    width = max(len(span) for span in spans)
    padded = torch.nn.functional.pad(logits, (0, width - logits.shape[1]))
    parts = group.all_gather(padded)
    return torch.cat([part[:, : len(span)] for part, span in zip(parts, spans, strict=True)], dim=-1)


def penalise(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return logits, in float32 at least, with those of seen tokens made smaller.

    Args:
        logits: ``[rows, tokens]``.
        seen: which of these tokens are in the row's prompt or have been generated, ``[rows, tokens]``, bool.
        penalty: what positive logits are divided and negative ones multiplied by.
    """
    wide = logits if logits.dtype.itemsize > 2 else logits.float()
    return torch.where(seen, torch.where(wide < 0, wide * penalty, wide / penalty), wide)


def keep_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return logits with all but the smallest set of tokens whose probability reaches ``top_p`` at -inf.

    Args:
        logits: of the whole vocabulary, ``[rows, vocabulary]``.
        top_p: above 0, at most 1; the likeliest token is always kept.
    """
    ascending, tokens = logits.sort(dim=-1, stable=True)
    dropped = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    dropped[:, -1] = False
    return logits.masked_fill(dropped.scatter(-1, tokens, dropped), -torch.inf)


def sample(
    logits: torch.Tensor, draws: torch.Tensor, temperature: float | None, top_p: float | None
) -> torch.Tensor:
    """Draw a token for each row by inverting its cumulative distribution, in float64.

    The distribution is summed in the order of the vocabulary, so that logits that differ by rounding, as
    those of two layouts do, yield the same token.

    Args:
        logits: of the whole vocabulary, ``[rows, vocabulary]``.
        draws: uniform in [0, 1), ``[rows]``, float64.
        temperature: divides the logits, if given.
        top_p: restricts the draw to the likeliest tokens, if given.

    Returns:
        ``[rows]``, int64.
    """
    scores = logits.double()
    if temperature is not None:
        # From the largest down, so that however low the temperature nothing but the small ones overflows.
        scores = (scores - scores.amax(dim=-1, keepdim=True)) / temperature
    if top_p is not None and top_p < 1:
        scores = keep_top_p(scores, top_p)
    cumulative = scores.softmax(dim=-1).cumsum(dim=-1)
    # A share of the sum that was reached, which rounding keeps from being 1.
    share = draws[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, share, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)


def draw(seed: int, request: int, position: int) -> float:
    """Return the uniform number in [0, 1) that decides the token of a request at a position.

    Args:
        seed: of the workload.
        request: index of the request in the workload.
        position: of the new token in its sequence, prompt included.
    """
    digest = hashlib.blake2b(f"{seed}/{request}/{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
