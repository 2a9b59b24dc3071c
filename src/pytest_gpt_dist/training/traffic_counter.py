"""On a rank: the collectives of a step, counted where torch dispatches them, whoever starts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_gpt_dist.parallel.training_traffic import TrainingTraffic

_KINDS = {
    "allreduce_": ("all_reduce", "first"),
    "all_reduce": ("all_reduce", "first"),
    "allreduce_coalesced_": ("all_reduce", "first"),
    "broadcast_": ("broadcast", "first"),
    "_allgather_base_": ("all_gather", "first"),
    "allgather_": ("all_gather", "first"),
    "all_gather_into_tensor": ("all_gather", "result"),
    "_reduce_scatter_base_": ("reduce_scatter", "second"),
    "reduce_scatter_tensor": ("reduce_scatter", "first"),
    "send": ("send", "first"),
    "recv_": ("recv", "first"),
    "isend": ("send", "first"),
    "irecv": ("recv", "first"),
}
"""By operation, the kind, and which of its tensors is the whole buffer that ranks work on together."""
_NAMESPACES = ("c10d", "_c10d_functional")
_NO_TRAFFIC = ("wait_tensor", "barrier", "monitored_barrier_")


class TrafficCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts collectives and the bytes of the whole buffers that they work on, while it is entered.

    It sees what DDP's reducer and FSDP's hooks start, too. It does not see what an operation on DTensors starts inside
    of itself, nor what a library starts around torch.

    Args:
        gathered: says how many bytes of gathered parameters are alive, which is asked whenever FSDP moves some.

    Attributes:
        most_gathered: the most that it said.
    """

    def __init__(self, gathered: Callable[[], int] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._gathered = gathered
        self.most_gathered = 0

    @property
    def traffic(self) -> TrainingTraffic:
        """Return what was counted."""
        return TrainingTraffic(dict(self._calls), dict(self._bytes))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(func, torch._ops.OpOverload) and func.namespace in _NAMESPACES:
            self._note(func._schema.name.partition("::")[2], args, result)
        if (
            self._gathered is not None
            and isinstance(func, torch._ops.OpOverload)
            and func.namespace == "fsdp"
        ):
            self.most_gathered = max(self.most_gathered, self._gathered())
        return result

    def _note(self, name: str, args: Any, result: Any) -> None:
        if name in _NO_TRAFFIC:
            return
        kind, whole = _KINDS.get(name, (name, "first"))
        places = {"first": args[:1], "second": args[1:2], "result": (result,)}
        self._calls[kind] += 1
        self._bytes[kind] += sum(tensor.nbytes for tensor in _tensors(places[whole]))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
