"""What the decoder needs to communicate."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class TensorGroup(Protocol):
    """The ranks that share one stage; a group of one communicates nothing."""

    def all_reduce(self, x: "torch.Tensor") -> None:
        """Replace ``x`` by its sum over the group, in place."""
        ...

    def all_gather(self, x: "torch.Tensor") -> "torch.Tensor":
        """Return ``x`` of every rank, stacked in rank order: ``[ranks, *x.shape]``; shapes must be equal."""
        ...
