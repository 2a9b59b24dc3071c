"""What a training step has to compute, whoever does it: the numerators of ``mfu`` and ``hfu``. Pure.

A model's own work is 6 operations for each parameter of a matrix product and each token, 2 of them forward and 4
backward, and attention's: 12 for each pair of tokens, each layer and each of the ``heads × head_dim`` columns. The
embedding is looked up, not multiplied; a tied head is multiplied all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.parallel import Coordinates, Dimensions, Layout
from pytest_gpt_dist.parallel.expected_traffic import share


@dataclass(frozen=True, slots=True)
class StepFlops:
    """Floating-point operations of a step in the whole world.

    Attributes:
        model: the model's own, of tokens that are no padding, every pair of tokens counted.
        causal: the same with those pairs alone of which the later token sees the earlier one.
        hardware: what is really computed: padding, every pair, and what the backward pass computes again.
    """

    model: int
    causal: int
    hardware: int


def step_flops(size: Dimensions, lengths: Sequence[int], width: int, recomputed_layers: int) -> StepFlops:
    """Return the operations of a step.

    Args:
        size: of the model.
        lengths: tokens of each row without padding.
        width: to which each row is padded.
        recomputed_layers: layers whose forward pass is computed a second time.
    """
    whole = share(size, Layout(), Coordinates())
    columns = whole.heads * size.head_dim
    products = size.layers * whole.matrices + whole.table
    tokens, padded = sum(lengths), len(lengths) * width
    pairs = sum(length * length for length in lengths)
    seen = sum(length * (length + 1) // 2 for length in lengths)
    all_pairs = len(lengths) * width * width
    again = recomputed_layers * (2 * whole.matrices * padded + 4 * columns * all_pairs)
    return StepFlops(
        model=6 * products * tokens + 12 * size.layers * columns * pairs,
        causal=6 * products * tokens + 12 * size.layers * columns * seen,
        hardware=6 * products * padded + 12 * size.layers * columns * all_pairs + again,
    )
