"""The tensors of a model in the units that are gathered together."""

from __future__ import annotations

import re

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.model.tensors import checkpoint_tensors
from pytest_gpt_dist.parallel.training_state import StateShapes
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.tuning import PLAIN, Tuning

_BLOCK = re.compile(r"(?:transformer\.h|model\.layers)\.(\d+)\.")


def stored_dtype(dtype: str) -> str:
    """Return the format of the parameters that an optimizer changes, which is never of 16 bits."""
    return dtype if itemsize(dtype) > 2 else "float32"


def state_shapes(config: DecoderConfig, dtype: str, recipe: Recipe, tuning: Tuning = PLAIN) -> StateShapes:
    """Return the shapes of a model's parameters, by blocks that are gathered together, and last those of the rest.

    In 16 bits the parameters that the optimizer changes are in float32; they are gathered in 16.
    """
    blocks: dict[int, list[tuple[int, ...]]] = {}
    rest: list[tuple[int, ...]] = []
    for name, spec in checkpoint_tensors(config).items():
        found = _BLOCK.match(name)
        (rest if found is None else blocks.setdefault(int(found[1]), [])).append(spec.shape)
    by_block = [blocks[number] for number in sorted(blocks)]
    runs = [by_block[start : start + tuning.wrap] for start in range(0, len(by_block), tuning.wrap or 1)]
    units = [*map(_joined, runs), rest] if tuning.wrap else [[*_joined(by_block), *rest]]
    return StateShapes(
        tuple(map(tuple, units)),
        itemsize(stored_dtype(dtype)),
        recipe.states,
        itemsize(dtype),
        itemsize(tuning.reduce_dtype or stored_dtype(dtype)),
    )


def _joined(blocks: list[list[tuple[int, ...]]]) -> list[tuple[int, ...]]:
    return [shape for block in blocks for shape in block]
