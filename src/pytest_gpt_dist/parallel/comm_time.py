"""How long a rank spends in communication."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommTime:
    """Seconds that one rank spent in communication.

    Attributes:
        collectives_s: in each all-reduce and all-gather, in their order, waiting for the other ranks included.
        hops_s: in all sends, and in waiting for what other stages send.
    """

    collectives_s: tuple[float, ...] = ()
    hops_s: float = 0.0


class CommunicationClock:
    """Notes how long each communication keeps the thread that asks for it: what happens meanwhile costs nothing."""

    def __init__(self) -> None:
        self._collectives_s: list[float] = []
        self._hops_s = 0.0

    @contextmanager
    def collective(self) -> Iterator[None]:
        """Around a collective."""
        start_s = time.perf_counter()
        yield
        self._collectives_s.append(time.perf_counter() - start_s)

    @contextmanager
    def hop(self) -> Iterator[None]:
        """Around a send, or around waiting for one."""
        start_s = time.perf_counter()
        yield
        self._hops_s += time.perf_counter() - start_s

    def read(self) -> CommTime:
        """Return the communication time since the last reading."""
        comm_time = CommTime(tuple(self._collectives_s), self._hops_s)
        self._collectives_s.clear()
        self._hops_s = 0.0
        return comm_time
