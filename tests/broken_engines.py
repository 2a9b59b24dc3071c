"""Engines that are wrong on purpose; each is native but for one thing."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.engines.native import NativeEngine
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Microbatch,
    ModelSource,
    Sampler,
    Stopwatch,
)
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.parallel import Layout, Span, parameter_bytes, split

Report = Callable[[int, int], None]


class CorruptWeight(NativeEngine):
    """One parameter of the last rank is a little off."""

    def __init__(self, source: ModelSource, mesh: Mesh, report: Report | None = None) -> None:
        super().__init__(source, mesh, report)
        if this_rank().rank == mesh.layout.world_size - 1:
            largest = max(self._stage.parameters.values(), key=torch.Tensor.numel)
            with torch.inference_mode():
                largest.mul_(1.05)


class Replicated(NativeEngine):
    """Every rank loads the whole model and computes everything itself."""

    def __init__(self, source: ModelSource, mesh: Mesh, report: Report | None = None) -> None:
        alone = Mesh(Layout(), replace(this_rank(), rank=0, world_size=1))
        super().__init__(source, alone, report)
        self.source = source
        self.world = mesh


class SecretlyReplicated(Replicated):
    """As above, but says that it holds its share, and shows its slice of the logits alone."""

    @property
    def parameter_bytes(self) -> int:
        itemsize = getattr(torch, self.source.dtype).itemsize
        return parameter_bytes(self.source.config.dimensions, self.world.layout, self.world.at, itemsize)

    @property
    def vocabulary(self) -> Span:
        return split(self.source.config.dimensions.vocabulary, self.world.layout.tp)[self.world.at.tp]

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        def choose(microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
            return sampler(microbatch, step, logits[:, self.vocabulary.slice])

        return super().generate(batches, choose, stopwatch)


class Chatty(NativeEngine):
    """Communicates once more than its layout needs."""

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        self._mesh.all_reduce(torch.zeros(1))
        return super().generate(batches, sampler, stopwatch)


class WrongWhenTimed(NativeEngine):
    """Right as long as it is only checked."""

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        tokens = super().generate(batches, sampler, stopwatch)
        return tokens if stopwatch is None else {index: [0] * len(ids) for index, ids in tokens.items()}


class LazyWhenTimed(NativeEngine):
    """Generates a single token for each request when the time is taken."""

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        return super().generate(
            batches if stopwatch is None else [*map(_one_token, batches)], sampler, stopwatch
        )


class Unchecked(NativeEngine):
    """Generates nothing when it is checked, and then forgets its weights."""

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        if stopwatch is None:
            with torch.inference_mode():
                for parameter in self._stage.parameters.values():
                    if not parameter.is_mkldnn:
                        parameter.zero_()
            return {}
        return super().generate(batches, sampler, stopwatch)


class Unnoted(NativeEngine):
    """Tells nobody when its tokens exist."""

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        return super().generate(batches, sampler, None)


class TooLargeForOne(NativeEngine):
    """Has no room on a single device."""

    def __init__(self, source: ModelSource, mesh: Mesh, report: Report | None = None) -> None:
        if mesh.layout.world_size == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        super().__init__(source, mesh, report)


class Dying(NativeEngine):
    """The last rank is killed while the others load."""

    def __init__(self, source: ModelSource, mesh: Mesh, report: Report | None = None) -> None:
        if this_rank().rank == mesh.layout.world_size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(source, mesh, report)


def _one_token(batch: Batch) -> Batch:
    return Batch(
        tuple(
            replace(microbatch, requests=tuple(replace(each, new_tokens=1) for each in microbatch.requests))
            for microbatch in batch.microbatches
        )
    )
