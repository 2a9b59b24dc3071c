"""A function that runs on every rank of a group and exchanges events with the controller meanwhile."""

import logging
import math
import pickle
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pytest_gpt_dist.cluster.callables import pack_event
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.messages import Cancel, Cancelled, EventToRank, NoMoreEvents
from pytest_gpt_dist.cluster.watch import Watch
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.errors import UsageError

_log = logging.getLogger(__name__)

CANCEL_S = 2.0
"""How long ranks of a cancelled task get to end their function, unless the timeout is shorter."""
FOREVER = Deadline(math.inf)


@dataclass(frozen=True, slots=True)
class Host:
    """What a task needs of its group: how it fails, is killed, is found to be in step, and is free again."""

    guarded: Callable[[], AbstractContextManager[None]]
    settle: Callable[[Watch], list[Any]]
    alive: Callable[[], bool]
    kill: Callable[[], None]
    is_in_step: Callable[[float], bool]
    release: Callable[[], None]


class Task:
    """A running function with events both ways; RankGroup.start makes it.

    A context manager, for one thread: at its end a task that has no result yet is cancelled. Every method raises what
    `RankGroup.run` would, when a rank raises, dies or is silent for longer than the timeout while the controller
    listens; the group is then killed. A rank that waits for events is not silent.

    Ranks' events are read by `events` alone, and while `send` has to wait for a rank. Those that nobody reads stay in
    the line's buffer, and then the rank waits in its `send`; `result` and `cancel` drop them.
    """

    def __init__(
        self,
        host: Host,
        watch: Watch,
        channels: MutableMapping[int, Channel],
        request: int,
        timeout_s: float,
    ) -> None:
        self._host = host
        self._watch = watch
        self._channels = channels
        self._request = request
        self._timeout_s = timeout_s
        self._sends_more = True
        self._over = False
        self._results: list[Any] | None = None

    def send(self, rank: int, event: object) -> None:
        """Send any picklable event to a rank; one that has returned does not get it.

        Waits while the rank reads none and the line is full, at the longest for the timeout of a silence.
        """
        self._check()
        if rank not in self._channels:
            raise UsageError(f"there is no rank {rank} in a group of {len(self._channels)}")
        if not self._sends_more:
            raise RuntimeError("this task has been told that no more events come")
        message = EventToRank(pack_event(event))
        with self._host.guarded():
            if not self._deliver(rank, message, FOREVER):
                self._host.settle(self._watch)

    def end(self) -> None:
        """Tell the ranks that no more events come, which ends their iterations; does nothing the second time."""
        self._check()
        if self._sends_more:
            self._sends_more = False
            with self._host.guarded():
                for rank in self._channels:
                    if not self._deliver(rank, NoMoreEvents(), FOREVER):
                        self._host.settle(self._watch)

    def events(self, timeout_s: float | None = None) -> Iterator[tuple[int, Any]]:
        """Yield (rank, event) as they come, for `timeout_s`, or until every rank has returned."""
        deadline = FOREVER if timeout_s is None else Deadline.after(timeout_s)
        while True:
            self._check()
            while self._watch.events:
                rank, payload = self._watch.events.popleft()
                yield rank, _unpacked(rank, payload)
                self._check()
            with self._host.guarded():
                decided = self._watch.wait(deadline, until_event=True)
                if decided and not self._watch.complete:
                    self._host.settle(self._watch)
            if decided or not self._watch.events:
                return

    def result(self) -> list[Any]:
        """End the events, wait until every rank has returned, and return the results by rank."""
        if self._results is None:
            self.end()
            with self._host.guarded():
                self._watch.wait(drop_events=True)
                self._results = self._host.settle(self._watch)
            self._finish()
        return self._results

    def cancel(self) -> None:
        """Have each rank's function end where it next sends or receives, within a short while, or kill the group.

        The group is as good as before if all did and still meet in a collective. Does nothing to a task that is over.
        """
        if self._over:
            return
        try:
            if self._host.alive() and not self._leaves():
                _log.info("a cancelled task did not end: its group is killed")
                self._host.kill()
        finally:
            self._finish()

    def _leaves(self) -> bool:
        deadline = Deadline.after(CANCEL_S, self._timeout_s)
        with self._host.guarded():
            self._watch.events.clear()
            for rank in self._channels:
                if not self._deliver(rank, Cancel(), deadline):
                    return False
            if not (self._watch.wait(deadline, drop_events=True) and self._watch.complete):
                return False
            all_returned = not any(isinstance(each, Cancelled) for each in self._watch.answers.values())
            return all_returned or self._host.is_in_step(min(CANCEL_S, self._timeout_s))

    def _deliver(self, rank: int, message: object, deadline: Deadline) -> bool:
        """Send a message to a rank that runs, taking in events meanwhile; False when that failed or time is up."""
        channel = self._channels[rank]
        frame = channel.frame(self._request, pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        rest = memoryview(frame)
        while rank in self._watch.waiting:
            try:
                if not (rest := channel.send_ready(rest)):
                    return True
            except ChannelClosed:
                return True  # how the rank ended is noticed by the next wait
            decided = self._watch.wait(deadline, sending_to=rank)
            if (decided and not self._watch.complete) or not deadline.left_s():
                return False
        if len(rest) < len(frame):  # it has returned, and takes in the rest before its next call
            channel.send_rest(rest, self._timeout_s)
        return True

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("this task is over")
        if not self._host.alive():
            raise RuntimeError("the group of this task has ended: ask the cluster for another")

    def _finish(self) -> None:
        self._over = True
        self._host.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()


def _unpacked(rank: int, payload: bytes) -> Any:
    try:
        return pickle.loads(payload)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"what rank {rank} sent cannot be read here: {reason}") from error
