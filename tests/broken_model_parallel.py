"""Model-parallel trainings that each leave one thing out, resolved on ranks by import path."""

from __future__ import annotations

from pytest_gpt_dist.training import pipeline
from pytest_gpt_dist.training.clipping import NormPart
from pytest_gpt_dist.training.tensor_parallel_gradients import all_reduce_flat


class TiedOnOneEndAlone(pipeline.OneForwardOneBackward):
    """Does not add up the gradients of the two tables that are one."""

    def sum_tied(self) -> None:
        """Leave both as they are."""


class TiedOnOneRankAlone(pipeline.ZeroBubbleV):
    """The same where one rank has both ends."""

    def sum_tied(self) -> None:
        """Leave both as they are."""


class PartialSums(pipeline.TensorParallel):
    """Leaves every rank its own part of what several ranks have parts of: norms of queries and keys, shared heads."""

    def reduce_gradients(self) -> None:
        """Sum over replicas alone."""
        self.sum_tied()


class ScaledGradients(pipeline.OneForwardOneBackward):
    """Has torch divide gradients by the number of microbatches, as it does by default."""

    scales_gradients = True


class ReplicasApart(pipeline.TensorParallel):
    """Does not sum over replicas."""

    def reduce_gradients(self) -> None:
        """Leave replicas apart."""
        self._data_group = None
        super().reduce_gradients()


class SummedTwice(pipeline.TensorParallel):
    """Sums over tensor-parallel ranks what each of them has whole."""

    def reduce_gradients(self) -> None:
        """Sum norms and biases as if they were parts."""
        super().reduce_gradients()
        whole = [
            each.grad for each, share in self._named_shares() if not share.is_cut and each.grad is not None
        ]
        all_reduce_flat(whole, self._tensor_group)


class HeadsCountedTwice(pipeline.TensorParallel):
    """Counts key/value heads that stand on two ranks twice in the norm."""

    def norm_parts(self) -> list[NormPart]:
        """Count everything."""
        cut, alike, elsewhere = super().norm_parts()
        return [NormPart([*cut.gradients, *elsewhere.gradients], cut.groups), alike]
