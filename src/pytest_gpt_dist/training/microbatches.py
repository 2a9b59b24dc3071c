"""On a rank: rows of token ids as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.loss import NO_LABEL


class SampleRows(Protocol):
    """Rows of tokens by their number, the same on every rank."""

    @property
    def width(self) -> int:
        """Length to which every row is padded."""
        ...

    def length(self, row: int) -> int:
        """Return the number of tokens of a row."""
        ...

    def tokens(self, row: int) -> Sequence[int]:
        """Return the tokens of a row."""
        ...


@dataclass(frozen=True)
class Microbatch:
    """Rows of one forward pass, ``[rows, width]`` each: tokens, and for each of them the label, if it has one.

    Padding stands behind a row's tokens, which never look there, so that no attention mask is needed.
    """

    tokens: Tensor
    labels: Tensor


def label_tokens(samples: SampleRows, rows: Sequence[int]) -> int:
    """Return the number of labels of rows: of each row's tokens all but the last one have one."""
    return sum(samples.length(row) - 1 for row in rows)


def make_microbatches(
    samples: SampleRows, plan: BatchPlan, step: int, data_rank: int, device: torch.device
) -> list[Microbatch]:
    """Return the microbatches of a data-parallel rank in a step."""
    return [_microbatch(samples, rows, device) for rows in plan.of_rank(step, data_rank)]


def _microbatch(samples: SampleRows, rows: Sequence[int], device: torch.device) -> Microbatch:
    tokens = torch.zeros((len(rows), samples.width), dtype=torch.int64)
    labels = torch.full_like(tokens, NO_LABEL)
    for place, row in enumerate(rows):
        ids = torch.tensor(list(samples.tokens(row)))
        tokens[place, : len(ids)] = ids
        labels[place, : len(ids) - 1] = ids[1:]
    return Microbatch(tokens.to(device), labels.to(device))
