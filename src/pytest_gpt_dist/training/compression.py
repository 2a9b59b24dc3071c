"""On a rank: gradients that DDP sends in fewer bytes than they have, inexact by intent.

Annotations are values here, because DDP looks at those of its hooks.
"""

from math import ceil
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from pytest_gpt_dist.training.tuning import Tuning

_EXACT_STEPS = 2
"""Before PowerSGD begins, the fewest that torch takes with error feedback."""


def compress(replica: DistributedDataParallel, tuning: Tuning) -> None:
    """Have a replica send what the tuning says."""
    if tuning.compression == "fp16":
        replica.register_comm_hook(None, fp16_compress_hook)
    elif tuning.compression == "powersgd":
        state = PowerSGDState(
            None,
            matrix_approximation_rank=tuning.compression_rank,
            start_powerSGD_iter=_EXACT_STEPS,
            use_error_feedback=tuning.error_feedback,
        )
        replica.register_comm_hook(state, powerSGD_hook)
    elif tuning.compression == "topk":
        state_ = TopK(tuning.compression_share, error_feedback=tuning.error_feedback)
        replica.register_comm_hook(state_, exchange_largest)


class TopK:
    """What a rank has not sent yet, by bucket; a bucket of another size, as DDP makes once, begins anew."""

    def __init__(self, share: float, *, error_feedback: bool) -> None:
        self._share = share
        self._feeds_back = error_feedback
        self._unsent: dict[int, Tensor] = {}

    def choose(self, number: int, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and places of the largest gradients of a bucket, and keep the others for the next step."""
        unsent = self._unsent.get(number)
        if unsent is not None and unsent.shape == gradients.shape:
            gradients += unsent
        places = gradients.abs().topk(ceil(self._share * gradients.numel()), sorted=False).indices
        values = gradients[places]
        if self._feeds_back:
            self._unsent[number] = gradients.index_fill(0, places, 0)
        return values, places.int()


def exchange_largest(state: TopK, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    """Return, once all ranks have sent their largest gradients of a bucket to all, the mean of what came."""
    gradients = bucket.buffer()
    values, places = state.choose(bucket.index(), gradients)
    world = dist.get_world_size()
    of_all = [each.new_empty(world * len(each)) for each in (values, places)]
    works: list[Any] = [
        dist.all_gather_into_tensor(everywhere, own, async_op=True)
        for everywhere, own in zip(of_all, (values, places), strict=True)
    ]

    def mean(_: object) -> Tensor:
        summed: Tensor = gradients.zero_().index_add_(0, of_all[1], of_all[0])
        return summed.div_(world)

    return torch.futures.collect_all([work.get_future() for work in works]).then(mean)
