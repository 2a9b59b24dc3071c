"""What a rank that really has its share of a cut model must hold: the plan's own arithmetic, without any data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.tensors import HEAD_NAME, checkpoint_tensors, embedding_name
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_state import StateBytes, StateShapes, expected_state, state_of
from pytest_gpt_dist.training.pipeline_stages import SCHEDULES, training_stages
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.shapes import state_shapes
from pytest_gpt_dist.training.tensor_parallel_shares import Place, share_of

_LAYER = re.compile(r"(?:transformer\.h|model\.layers)\.(\d+)\.")


def expected_share(
    config: DecoderConfig, shapes: StateShapes, plan: ParallelPlan, rank: int
) -> StateBytes | None:
    """Return what a rank holds under a plan that cuts the model over ``tp`` and ``pp``; None for other plans."""
    layout = plan.layout
    if layout.tp * layout.pp == 1 or plan.dp_shard > 1 or (layout.pp > 1 and plan.schedule not in SCHEDULES):
        return None
    place = Place(layout.coordinates(rank).tp, layout.tp)
    return state_of(
        [share_of(config, place, name).elements for name in held_tensors(config, plan, rank)], shapes
    )


def state_by_rank(
    config: DecoderConfig, plan: ParallelPlan, dtype: str, recipe: Recipe
) -> list[StateBytes] | None:
    """Return what each rank of a training would hold, from a model's dimensions alone; None for a plan not known here.

    Args:
        config: the model's shape.
        plan: how it is divided.
        dtype: in which ranks compute; in 16 bits parameters, gradients and optimizer state are of 32.
        recipe: whose optimizer says how many numbers are kept for a parameter.
    """
    shapes = state_shapes(config, dtype, recipe)
    found = [
        expected_state(shapes, plan, rank) or expected_share(config, shapes, plan, rank)
        for rank in range(plan.world_size)
    ]
    known = [each for each in found if each is not None]
    return known if len(known) == plan.world_size else None


def held_tensors(config: DecoderConfig, plan: ParallelPlan, rank: int) -> list[str]:
    """Return the names of the tensors of a rank's stages; a tied head on a later stage is one more."""
    layout = plan.layout
    if layout.pp == 1:
        return list(checkpoint_tensors(config))
    schedule = SCHEDULES[plan.schedule]
    numbers = schedule.stages_of(layout.coordinates(rank).pp, layout.pp)
    count = layout.pp * schedule.stages_per_rank
    runs = training_stages(config.dimensions, count)
    names: list[str] = []
    for number in numbers:
        layers = range(runs[number].start, runs[number].stop)
        names += _tensors_of_stage(config, layers, first=number == 0, last=number == count - 1)
    return names


def _tensors_of_stage(config: DecoderConfig, layers: range, *, first: bool, last: bool) -> Iterator[str]:
    at_start = {embedding_name(config), "transformer.wpe.weight"}
    for name in checkpoint_tensors(config):
        layer = _LAYER.match(name)
        if layer is not None:
            if int(layer[1]) in layers:
                yield name
        elif first if name in at_start else last:
            yield name
    if last and not first and config.dimensions.tied:
        yield HEAD_NAME
