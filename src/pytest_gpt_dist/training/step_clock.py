"""On a rank: how long communication, optimizer and data loading keep the thread that trains."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch.distributed as dist
from torch.distributed.pipelining import schedules

from pytest_gpt_dist.training.step_times import StepTimes

_COLLECTIVES = (
    "all_reduce",
    "broadcast",
    "all_gather_single",
    "all_gather_into_tensor",
    "reduce_scatter_single",
    "reduce_scatter_tensor",
)
"""As libraries that are written in Python call them, where they call them: in ``torch.distributed``."""
_HOPS = ("_batch_p2p", "_wait_batch_p2p")
_Ranks = tuple[int, ...]


class StepClock:
    """Notes seconds of a step, until they are read.

    What C++ starts it does not see: DDP's reduction is noted by who waits for it.
    """

    def __init__(self) -> None:
        self._collectives_s: dict[_Ranks, list[float]] = defaultdict(list)
        self._parts_s: dict[str, float] = defaultdict(float)
        self._hops_s = 0.0
        self._communication_s = 0.0
        self._is_in_collective = False

    def note_collective(self, seconds: float, group: dist.ProcessGroup | None = None) -> None:
        """Note a collective of a group, or of the world."""
        self._collectives_s[_ranks(group)].append(seconds)
        self._communication_s += seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Around a part of a step; its communication is not counted to it."""
        start_s, before_s = time.perf_counter(), self._communication_s
        yield
        self._parts_s[name] += time.perf_counter() - start_s - (self._communication_s - before_s)

    def restart(self) -> None:
        """Forget all communication so far: what ranks tell each other between steps belongs to none."""
        self._collectives_s.clear()
        self._hops_s = self._communication_s = 0.0

    def read(self) -> StepTimes:
        """Return what was noted since the last reading."""
        times = StepTimes(
            tuple((group, tuple(seconds)) for group, seconds in self._collectives_s.items()),
            self._hops_s,
            self._parts_s["optimizer"],
            self._parts_s["loading"],
        )
        self.restart()
        self._parts_s.clear()
        return times

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have communication noted: torch's functions are called by others, which look at the clock."""
        with ExitStack() as stack:
            for name in _COLLECTIVES:
                stack.enter_context(_replaced(dist, name, self._timed_collective(getattr(dist, name))))
            for name in _HOPS:
                stack.enter_context(_replaced(schedules, name, self._timed_hop(getattr(schedules, name))))
            yield

    def _timed_collective(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._is_in_collective:  # one that is made of another
                return function(*args, **kwargs)
            self._is_in_collective = True
            start_s = time.perf_counter()
            try:
                work = function(*args, **kwargs)
            finally:
                self._is_in_collective = False
            seconds = time.perf_counter() - start_s
            group = kwargs.get("group")
            if isinstance(work, dist.Work) and kwargs.get("async_op"):
                return _TimedWork(work, lambda waited_s: self.note_collective(seconds + waited_s, group))
            self.note_collective(seconds, group)
            return work

        return timed

    def _timed_hop(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start_s = time.perf_counter()
            result = function(*args, **kwargs)
            seconds = time.perf_counter() - start_s
            self._hops_s += seconds
            self._communication_s += seconds
            return result

        return timed


class _TimedWork(dist.Work):
    """A collective that goes on beside computation; what counts is how long somebody waits for it."""

    def __init__(self, work: dist.Work, note: Callable[[float], None]) -> None:
        super().__init__()
        self._work, self._note = work, note

    def wait(self, *args: Any, **kwargs: Any) -> bool:
        start_s = time.perf_counter()
        done = self._work.wait(*args, **kwargs)
        self._note(time.perf_counter() - start_s)
        return done

    def get_future(self) -> Any:
        return self._work.get_future()


@contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Have a module's function be another one for a while."""
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _ranks(group: dist.ProcessGroup | None) -> _Ranks:
    return tuple(dist.get_process_group_ranks(group))
