"""A rank's end of a task: events from the controller, and events to it."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pytest_gpt_dist.cluster.callables import unpack
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.messages import Cancel, EventFromRank, EventToRank, NoMoreEvents
from pytest_gpt_dist.cluster.rank import report_progress

MOST_UNREAD = 1024
"""How many events may have come that nobody has asked for; beyond them, the other side waits when it sends."""
LONGEST_REPORT_S = 10.0
"""How often a rank that waits for events says so, or four times as often as the controller's patience wants."""


class TaskCancelled(BaseException):
    """The controller has cancelled the task: let it end the function, which may clean up on its way."""


class Line(Protocol):
    """The rank's line to the controller, within one task."""

    def send(self, message: object) -> None:
        """Send a message; waits while the controller reads nothing."""

    def receive(self, timeout_s: float) -> object:
        """Return the next message; TimeoutError when none comes."""

    def receive_ready(self) -> list[object]:
        """Return the messages that are there now."""


class Stream:
    """What a function that `RankGroup.start` runs gets as its first argument; for one thread.

    `send` waits while the controller does not read and the line's buffer is full: nothing is lost, and nothing piles
    up. A rank that waits in `receive` tells the controller so, and is not silent; a rank that waits for another one in
    a collective is.
    """

    def __init__(self, line: Line, pack: Callable[[object], bytes], timeout_s: float) -> None:
        self._line = line
        self._pack = pack
        self._report_s = min(LONGEST_REPORT_S, timeout_s / 4)
        self._events: deque[Any] = deque()
        self._ended = False
        self._cancelled = False

    def send(self, event: object) -> None:
        """Send any picklable event to the controller; TaskCancelled when the task is."""
        payload = self._pack(event)
        if len(self._events) < MOST_UNREAD:
            for message in self._line.receive_ready():
                self._take(message)
        self._check()
        self._line.send(EventFromRank(payload))

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next event of the controller.

        TimeoutError when none has come after `timeout_s`, EOFError when none will come, TaskCancelled when the task is.
        """
        deadline = Deadline.after(float("inf") if timeout_s is None else timeout_s)
        self._check()
        while not self._events and not self._ended:
            try:
                self._take(self._line.receive(min(self._report_s, deadline.left_s())))
            except TimeoutError:
                if not deadline.left_s():
                    raise TimeoutError(f"the controller sent no event within {timeout_s} s") from None
                report_progress("waiting for events")
            self._check()
        if not self._events:
            raise EOFError("the controller sends no more events")
        return self._events.popleft()

    def __iter__(self) -> Iterator[Any]:
        """Yield the controller's events until it has no more."""
        while True:
            try:
                event = self.receive()
            except EOFError:
                return
            yield event

    def _take(self, message: object) -> None:
        match message:
            case EventToRank(parcel=parcel):
                self._events.append(unpack(parcel))
            case NoMoreEvents():
                self._ended = True
            case Cancel():
                self._cancelled = True

    def _check(self) -> None:
        if self._cancelled:
            raise TaskCancelled
