"""What the ranks of a cut model must communicate in a step: closed formulas by model, plan and batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.model.tensors import embedding_name
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_state import numel
from pytest_gpt_dist.parallel.training_traffic import NORM_BYTES, ExpectedTraffic, TrainingTraffic
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.expected_shares import held_tensors
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.pipeline_stages import SCHEDULES, training_stages
from pytest_gpt_dist.training.shapes import stored_dtype
from pytest_gpt_dist.training.tensor_parallel_shares import ParameterShare, Place, share_of


@dataclass(frozen=True)
class _Stage:
    """A stage of a rank: its layers, whether it is an end, and how many of its neighbours are on other ranks."""

    layers: range
    first: bool
    last: bool
    receives: int
    sends: int


class _Traffic:
    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def add(self, kind: str, calls: int, size: int) -> None:
        """Note so many calls of one size."""
        if calls:
            self._calls[kind] += calls
            self._bytes[kind] += calls * size

    @property
    def expected(self) -> ExpectedTraffic:
        """Return all of it."""
        return ExpectedTraffic(TrainingTraffic(dict(self._calls), dict(self._bytes)))


def expected_cut_traffic(
    work: TrainingWork, plan: ParallelPlan, batches: BatchPlan, rank: int
) -> ExpectedTraffic | None:
    """Return what a rank communicates under a plan that cuts the model over ``tp`` and ``pp``; None for other plans.

    A microbatch of hidden states is summed over tensor-parallel ranks behind the embedding, and in each layer behind
    attention and MLP, and on the way back before each of them and before the head. Its loss takes the largest logit
    and two sums of every token. Stages send hidden states to the next one and their gradients back. Once a step
    follow gradients that several ranks have parts of, those of a tied table, those of all replicas, and the norm.
    """
    layout = plan.layout
    if layout.tp * layout.pp == 1 or plan.dp_shard > 1 or (layout.pp > 1 and plan.schedule not in SCHEDULES):
        return None
    config, found = work.model.config, _Traffic()
    tokens = batches.micro * work.samples.width
    hidden = tokens * config.dimensions.hidden * itemsize(work.dtype)
    stages = _stages(config, plan, rank)
    for stage in stages:
        if layout.tp > 1:
            sums = 4 * len(stage.layers) + _recomputed_sums(stage.layers, work.checkpointing)
            found.add("all_reduce", batches.accumulation * (sums + stage.first + stage.last), hidden)
            of_loss = tokens * (8 if work.dtype == "float64" else 4)
            found.add("all_reduce", batches.accumulation * stage.last, of_loss)
            found.add("all_reduce", batches.accumulation * stage.last, 2 * of_loss)
        # Forward to the next stage and from the one before; gradients the other way round.
        neighbours = stage.receives + stage.sends
        found.add("send", batches.accumulation * neighbours, hidden)
        found.add("recv", batches.accumulation * neighbours, hidden)
    _add_reductions(found, work, plan, rank, stages)
    return found.expected


def _add_reductions(
    found: _Traffic, work: TrainingWork, plan: ParallelPlan, rank: int, stages: list[_Stage]
) -> None:
    """Note what is summed once a step."""
    layout, config = plan.layout, work.model.config
    place = Place(layout.coordinates(rank).tp, layout.tp)
    shares = [share_of(config, place, name) for name in held_tensors(config, plan, rank)]
    size = itemsize(stored_dtype(work.dtype))
    if partial := sum(map(_summed_elements, shares)):
        found.add("all_reduce", 1, partial * size)
    ends = sum(stage.first + stage.last for stage in stages)
    if config.dimensions.tied and layout.pp > 1 and ends == 1:
        found.add("all_reduce", 1, share_of(config, place, embedding_name(config)).elements * size)
    if layout.dp > 1:
        found.add("all_reduce", 1, sum(share.elements for share in shares) * size)
    # What is cut is summed over both kinds of ranks, what tensor-parallel ranks hold alike over stages alone.
    norms = (layout.tp > 1) + 2 * (layout.pp > 1)
    found.add("all_reduce", norms, NORM_BYTES)


def _stages(config: DecoderConfig, plan: ParallelPlan, rank: int) -> list[_Stage]:
    layout = plan.layout
    if layout.pp == 1:
        return [_Stage(range(config.dimensions.layers), first=True, last=True, receives=0, sends=0)]
    schedule = SCHEDULES[plan.schedule]
    count = layout.pp * schedule.stages_per_rank
    runs = training_stages(config.dimensions, count)
    own = schedule.stages_of(layout.coordinates(rank).pp, layout.pp)
    return [
        _Stage(
            runs[number].range,
            first=number == 0,
            last=number == count - 1,
            receives=number > 0 and number - 1 not in own,
            sends=number < count - 1 and number + 1 not in own,
        )
        for number in own
    ]


def _recomputed_sums(layers: range, every: int) -> int:
    """Return the sums of layers that are computed again; torch stops before the last one, which nothing needs."""
    return sum(layer % every == 0 for layer in layers) if every else 0


def _summed_elements(share: ParameterShare) -> int:
    return sum(len(rows) for rows in share.summed) * numel(share.shape[1:])
