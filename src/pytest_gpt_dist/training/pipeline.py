"""On a rank: a model cut into tensor-parallel shares and pipeline stages, and replicated over data-parallel ranks.

A strategy names one of the dividers below: ``TensorParallel`` for plans of a single stage; ``GPipe``,
``OneForwardOneBackward``, ``Interleaved`` and ``ZeroBubbleV`` for plans with ``pp`` of at least 2, with any ``tp``
and ``dp``. Schedules are those of ``torch.distributed.pipelining``; the loss is divided by the labels of the whole
step before the backward pass, so that neither schedules nor replicas scale gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed import pipelining
from transformers import PreTrainedModel

from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.model.tensors import embedding_name
from pytest_gpt_dist.parallel import Coordinates, Layout, Span
from pytest_gpt_dist.parallel.process_groups import make_subgroups
from pytest_gpt_dist.training.clipping import NormPart
from pytest_gpt_dist.training.forward import TrainedForward
from pytest_gpt_dist.training.loss import backpropagate
from pytest_gpt_dist.training.microbatches import Microbatch
from pytest_gpt_dist.training.model import open_weights
from pytest_gpt_dist.training.optimizer import make_optimizer
from pytest_gpt_dist.training.pipeline_stages import (
    GPIPE,
    INTERLEAVED,
    ONE_F_ONE_B,
    ZBV,
    Schedule,
    training_stages,
)
from pytest_gpt_dist.training.shapes import stored_dtype
from pytest_gpt_dist.training.strategy import Division
from pytest_gpt_dist.training.tensor_parallel import vocabulary_loss
from pytest_gpt_dist.training.tensor_parallel_gradients import all_reduce_flat, norm_views, sum_partial
from pytest_gpt_dist.training.tensor_parallel_module import (
    StagePart,
    materialize_shares,
    put_together,
    shard_model,
)
from pytest_gpt_dist.training.tensor_parallel_shares import ParameterShare, Place, tensor_slices


class StageForward(TrainedForward):
    """Tokens or hidden states to hidden states, or on the last stage to the rank's logits.

    Where the backward pass is split, torch detaches outputs in place, so that they may be no views, and looks for the
    gradients of weights in the parameters that the module has then, so that they are cast within the forward pass.
    """

    def __init__(self, division: Division, module: PreTrainedModel, *, splits_backward: bool) -> None:
        super().__init__(division, module)
        self._splits_backward = splits_backward

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[rows, width, tokens of the rank]``, else hidden states ``[rows, width, hidden]``."""
        given = "inputs_embeds" if x.is_floating_point() else "input_ids"
        module: Any = self.module
        with self.cast() if self._splits_backward else nullcontext(), self.kept():
            output: Tensor = module(**{given: x}, use_cache=False).logits
        return output.clone() if self._splits_backward else output


class ModelParallel:
    """What a rank holds of a model that is cut over ranks; a trainee, of which subclasses name the schedule."""

    schedule: ClassVar[Schedule] = ONE_F_ONE_B
    scales_gradients: ClassVar[bool] = False

    def __init__(self, division: Division) -> None:
        if (
            self.schedule.splits_backward
            and division.checkpointing
            and stored_dtype(division.dtype) != division.dtype
        ):
            raise UsageError(
                f"schedule {self.schedule.name}: in {division.dtype} it cannot compute activations again"
            )
        self._division = division
        self._layout = layout = division.plan.layout
        self._at = at = layout.coordinates(this_rank().rank)
        self.data_rank = at.dp
        self._tensor_group = make_subgroups(layout.tensor_groups, "tp")
        self._pipeline_group = make_subgroups(layout.pipelines, "pp")
        self._data_group = make_subgroups(_replicas_of_shares(layout), "dp")
        self._ends_group = make_subgroups(_ends(layout, self.schedule), "tied")
        place = Place(at.tp, layout.tp)
        self._own_tokens: Span = tensor_slices(division.model.config, place).vocabulary
        self._numbers = (0,) if layout.pp == 1 else self.schedule.stages_of(at.pp, layout.pp)
        self._count = layout.pp * len(self._numbers)
        runs = training_stages(division.model.config.dimensions, self._count)
        self.stages = [
            StagePart(runs[number], number == 0, number == self._count - 1) for number in self._numbers
        ]
        stored = stored_dtype(division.dtype)
        self.sharded = [
            shard_model(division.model, stored, place, stage, self._tensor_group) for stage in self.stages
        ]
        with open_weights(division.model, division.device) as weights:
            for sharded in self.sharded:
                materialize_shares(sharded, weights, division.device, division.report)
        self.forwards = [
            StageForward(division, sharded.module, splits_backward=self.schedule.splits_backward)
            for sharded in self.sharded
        ]
        self.optimizer: Any = make_optimizer(division.recipe, self.parameters())
        self._runners: dict[tuple[int, ...], Any] = {}

    @property
    def kind(self) -> str:
        """Return the type of what is trained, and how it is cut."""
        return f"{type(self.sharded[0].module).__name__} of {self._layout}"

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all of the rank's stages."""
        return [parameter for parameter, _ in self._named_shares()]

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        """Run the schedule, and then sum what several ranks have a part of: tied, repeated and replicated gradients."""
        run = self._run_alone if self._pipeline_group is None else self._run_schedule
        with ExitStack() as stack:
            if not self.schedule.splits_backward:
                for forward in self.forwards:
                    stack.enter_context(forward.cast())
            parts = run(microbatches, labels_in_step)
        self.reduce_gradients()
        if not parts or self._at.tp:
            return torch.zeros((), device=self._division.device)
        return torch.stack([part.detach() for part in parts]).sum()

    def reduce_gradients(self) -> None:
        """Sum gradients over the ranks that have parts of them, once a step."""
        sum_partial([(_gradient(each), share) for each, share in self._named_shares()], self._tensor_group)
        self.sum_tied()
        all_reduce_flat([_gradient(each) for each in self.parameters()], self._data_group)

    def sum_tied(self) -> None:
        """Add up the gradients of a tied table on the two ends of the pipeline, which are two tensors."""
        tables = [_gradient(each) for each, share in self._named_shares() if self._is_tied(share)]
        if len(tables) == 2:
            tables[0] += tables[1]
            tables[1].copy_(tables[0])
        elif tables and self._layout.pp > 1:
            all_reduce_flat(tables, self._ends_group)

    def norm_parts(self) -> list[NormPart]:
        """Return the gradients: what is cut over tensor-parallel ranks, what they hold alike, what others count."""
        cut: list[Tensor] = []
        alike: list[Tensor] = []
        elsewhere: list[Tensor] = []
        for stage, sharded in zip(self.stages, self.sharded, strict=True):
            for parameter, share in sharded.named_shares():
                if self._is_tied(share) and not stage.first:
                    elsewhere.append(_gradient(parameter))
                    continue
                counted, uncounted = norm_views(_gradient(parameter), share)
                (cut if share.is_cut else alike).append(counted)
                elsewhere.extend(uncounted)
        tensor = [group for group in (self._tensor_group,) if group is not None]
        pipeline = [group for group in (self._pipeline_group,) if group is not None]
        return [
            NormPart(cut, (*tensor, *pipeline)),
            NormPart(alike, tuple(pipeline)),
            NormPart(elsewhere, counted=False),
        ]

    def gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the gradients of the rank's stages, put together from all tensor-parallel ranks."""
        for parameter, share in self._named_shares():
            yield share.name, put_together(_gradient(parameter), share, self._tensor_group)

    def _named_shares(self) -> Iterator[tuple[nn.Parameter, ParameterShare]]:
        for sharded in self.sharded:
            yield from sharded.named_shares()

    def _is_tied(self, share: ParameterShare) -> bool:
        config = self._division.model.config
        return config.dimensions.tied and share.name == embedding_name(config)

    def _loss(self, logits: Tensor, labels: Tensor, labels_in_step: int) -> Tensor:
        return vocabulary_loss(logits, labels, labels_in_step, self._own_tokens, self._tensor_group)

    def _run_alone(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> list[Tensor]:
        (forward,) = self.forwards
        parts = []
        for each in microbatches:
            part = self._loss(forward(each.tokens), each.labels, labels_in_step)
            backpropagate(part)
            parts.append(part)
        return parts

    def _run_schedule(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> list[Tensor]:
        """Run the schedule over microbatches of one shape; return the parts of the loss where the last stage is."""
        runner = self._runner(len(microbatches), microbatches[0].tokens)
        losses: list[Tensor] = []
        first, last = (any(getattr(stage, end) for stage in self.stages) for end in ("first", "last"))
        runner.step(
            *([torch.cat([each.tokens for each in microbatches])] if first else []),
            target=torch.cat([each.labels for each in microbatches]) if last else None,
            losses=losses,
            return_outputs=False,
            loss_kwargs={"labels_in_step": labels_in_step},
        )
        return losses

    def _runner(self, microbatches: int, tokens: Tensor) -> Any:
        """Return torch's schedule for so many microbatches of a shape, which is kept."""
        key = (microbatches, *tokens.shape)
        if key not in self._runners:
            self.schedule.check(self._layout.pp, microbatches)
            stages = [
                self._torch_stage(number, stage, forward, tokens)
                for number, stage, forward in zip(self._numbers, self.stages, self.forwards, strict=True)
            ]
            self._runners[key] = getattr(pipelining, self.schedule.kind)(
                stages if self.schedule.stages_per_rank > 1 else stages[0],
                microbatches,
                loss_fn=self._loss,
                # By default torch divides gradients by the number of microbatches, which the loss knows already.
                scale_grads=self.scales_gradients,
            )
        return self._runners[key]

    def _torch_stage(
        self, number: int, stage: StagePart, forward: StageForward, tokens: Tensor
    ) -> pipelining.PipelineStage:
        """Return torch's view of a stage; with the shapes given, ranks need not ask each other for them."""
        hidden = torch.empty(
            (*tokens.shape, self._division.model.config.dimensions.hidden),
            dtype=torch_dtype(self._division.dtype),
            device="meta",
            requires_grad=True,
        )
        logits = torch.empty(
            (*tokens.shape, len(self._own_tokens)), dtype=hidden.dtype, device="meta", requires_grad=True
        )
        return pipelining.PipelineStage(
            forward,
            number,
            self._count,
            self._division.device,
            input_args=tokens.to("meta") if stage.first else hidden,
            output_args=logits if stage.last else hidden,
            group=self._pipeline_group,
        )


class TensorParallel(ModelParallel):
    """Heads, MLP and vocabulary cut over ranks, and replicas of that; a single stage."""


class GPipe(ModelParallel):
    """Stages that run all microbatches forward, then all backward."""

    schedule = GPIPE


class OneForwardOneBackward(ModelParallel):
    """Stages that run a microbatch backward as soon as they can."""


class Interleaved(ModelParallel):
    """Two stages on each rank, so that ranks wait for half as long."""

    schedule = INTERLEAVED


class ZeroBubbleV(ModelParallel):
    """Two stages on each rank, there and back, whose weights' gradients fill the gaps."""

    schedule = ZBV


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _replicas_of_shares(layout: Layout) -> list[tuple[int, ...]]:
    """Return the ranks that hold the same shares, group by group."""
    size = layout.pp * layout.tp
    return [tuple(range(start, layout.world_size, size)) for start in range(size)]


def _ends(layout: Layout, schedule: Schedule) -> list[tuple[int, ...]]:
    """Return the ranks of the first and the last stage, group by group; none where one rank has both."""
    last = schedule.last_rank(layout.pp)
    if last == 0:
        return []
    return [
        tuple(layout.rank(Coordinates(dp, pp, tp)) for pp in (0, last))
        for dp in range(layout.dp)
        for tp in range(layout.tp)
    ]
