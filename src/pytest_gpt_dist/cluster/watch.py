"""Waiting for one answer from each rank: blocking, with a deadline, hearing of every end."""

import selectors
import time
from collections import deque
from collections.abc import Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gpt_dist.cluster.connect import Arrivals
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.launcher import Launcher
from pytest_gpt_dist.cluster.messages import Cancelled, EventFromRank, Raised, Ready, Returned
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.cluster.stream import MOST_UNREAD
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed

GRACE_S = 1.0
"""How long the other ranks may still report after the first failure, unless the timeout is shorter."""
AS_SILENT = 0.5
"""Where a rank was silent for the timeout, so was one that was for this part of it."""

NEVER = Deadline(float("inf"))

OnProgress = Callable[[int, Progress], None]


@dataclass(frozen=True, slots=True)
class RankProcess:
    """A started rank: its process, and the files for its output and its stacks."""

    rank: int
    pid: int
    log: Path
    stack: Path


class Watch:
    """One wait for an answer of every rank; rank by rank it ends in `answers`, `raised`, `died` or
    `silent_s`.

    A rank in none of them was at work when another one failed. The dictionaries keep the order of events, and
    `failed` that of failures of either kind; `progress` is what each rank said last, `events` those of a task that
    nobody has taken yet. `channels` are the lines to
    the ranks; those of ranks that connect to the `listener` meanwhile are added.
    """

    def __init__(
        self,
        ranks: Sequence[RankProcess],
        channels: MutableMapping[int, Channel],
        launcher: Launcher,
        request: int,
        timeout_s: float,
        *,
        on_progress: OnProgress | None = None,
        listener: Arrivals | None = None,
    ) -> None:
        self.answers: dict[int, Ready | Returned | Cancelled] = {}
        self.raised: dict[int, Raised] = {}
        self.died: dict[int, int | str] = {}
        self.hung_up: set[int] = set()
        self.silent_s: dict[int, float] = {}
        self.failed: list[int] = []
        self.progress: dict[int, Progress] = {}
        self.events: deque[tuple[int, bytes]] = deque()
        self._ranks = ranks
        self._channels = channels
        self._listener = listener
        self._launcher = launcher
        self._request = request
        self._timeout_s = timeout_s
        self._on_progress = on_progress
        self._waiting = {rank.rank: rank for rank in ranks}
        self._heard_s = dict.fromkeys(self._waiting, time.monotonic())
        self._grace_end_s = float("inf")
        self._paused_at_s: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every rank has answered."""
        return len(self.answers) == len(self._ranks)

    def remaining_s(self) -> float:
        """Return how long nothing may happen before the wait is over."""
        first_silence_s = (
            min((self._heard_s[rank] for rank in self._waiting), default=float("inf")) + self._timeout_s
        )
        return max(0.0, min(first_silence_s, self._grace_end_s) - time.monotonic())

    @property
    def waiting(self) -> Collection[int]:
        """The ranks that have neither answered nor failed."""
        return self._waiting.keys()

    def wait(
        self,
        deadline: Deadline = NEVER,
        *,
        until_event: bool = False,
        drop_events: bool = False,
        sending_to: int | None = None,
    ) -> bool:
        """Wait until every rank has answered or failed, one is silent too long, or the grace is over: then return True.

        Returns False earlier, to be called again: at a deadline, `until_event` when there is one, when the line takes
        what is sent to the rank `sending_to`, and when enough events are unread. Between the calls nobody listens, and
        that is no silence of the ranks. LaunchError when whoever started the ranks is gone.
        """
        if self._paused_at_s is not None:
            paused_s = time.monotonic() - self._paused_at_s
            self._heard_s = {rank: heard_s + paused_s for rank, heard_s in self._heard_s.items()}
        try:
            if not self._hear(deadline, until_event, drop_events, sending_to):
                return False
        finally:
            self.pause()
        self._decide()
        return True

    def pause(self) -> None:
        """Note that nobody listens from now until the next wait."""
        self._paused_at_s = time.monotonic()

    def _hear(self, deadline: Deadline, until_event: bool, drop_events: bool, sending_to: int | None) -> bool:
        reads = sending_to is None or len(self.events) < MOST_UNREAD
        heard: set[int] = set()
        with selectors.DefaultSelector() as selector:
            selector.register(self._launcher, selectors.EVENT_READ, self._launcher)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ, self._listener)
            self._take_ends()  # a launcher may have heard of ends and arrivals while something else was asked of it
            over = False
            while self._waiting and not over:
                for number in self._channels.keys() - heard - self.hung_up:
                    mask = reads * selectors.EVENT_READ | (number == sending_to) * selectors.EVENT_WRITE
                    if mask:
                        selector.register(self._channels[number], mask, number)
                    heard.add(number)
                timeout_s = self.remaining_s()
                writable = False
                for key, mask in selector.select(min(timeout_s, deadline.left_s())):
                    if mask & selectors.EVENT_WRITE and key.data == sending_to:
                        writable = True
                    if not mask & selectors.EVENT_READ:
                        continue
                    if key.data is self._launcher:
                        self._take_ends()
                    elif key.data is self._listener:
                        self._take_arrivals()
                    elif not self._listen(key.data):
                        selector.unregister(key.fileobj)
                # This process may have been stopped, or busy, for longer than the timeout: the verdict is on what
                # has come by now.
                over = timeout_s == 0 == self.remaining_s()
                if drop_events:
                    self.events.clear()
                enough = len(self.events) >= MOST_UNREAD and reads
                if (
                    writable
                    or (self.events and until_event)
                    or enough
                    or (not over and not deadline.left_s())
                ):
                    return False
        return True

    def _decide(self) -> None:
        now_s = time.monotonic()
        for number in list(self._waiting):
            if number in self.hung_up:  # and its launcher has not told of its end
                self._fail(number)
        silences_s = {number: now_s - self._heard_s[number] for number in self._waiting}
        if any(silence_s >= self._timeout_s for silence_s in silences_s.values()):
            # The first to fall silent may have waited for one that said something a little later.
            least_s = self._timeout_s * AS_SILENT
            self.silent_s = {number: each_s for number, each_s in silences_s.items() if each_s >= least_s}

    def _listen(self, rank: int) -> bool:
        """Take in what a rank has sent; False when nothing will ever come again."""
        try:
            frames = self._channels[rank].receive_ready()
        except ChannelClosed:
            self.hung_up.add(rank)
            self._start_grace()  # how it ended, its launcher will tell
            return False
        if not frames and rank in self._waiting:
            self._heard_s[rank] = time.monotonic()  # a large answer is on its way
        for frame in frames:
            if frame.request != self._request or rank not in self._waiting:
                continue  # a thread that outlived its call
            match frame.message:
                case Progress() as progress:
                    self._heard_s[rank] = time.monotonic()
                    self.progress[rank] = progress
                    if self._on_progress is not None:
                        self._on_progress(rank, progress)
                case EventFromRank(payload=payload):
                    self._heard_s[rank] = time.monotonic()
                    self.events.append((rank, payload))
                case Raised() as raised:
                    self.raised[rank] = raised
                    self._fail(rank)
                case Ready() | Returned() | Cancelled() as answer:
                    self.answers[rank] = answer
                    del self._waiting[rank]
        return True

    def note_lost(self) -> None:
        """Blame first the ranks whose machine is lost by now: others may have noticed before it was known here."""
        ended = self._launcher.ended()
        for rank in self._ranks:
            if isinstance(why := ended.get(rank.pid), str) and rank.rank not in self.answers:
                self.died[rank.rank] = why
                self.failed = [rank.rank, *(each for each in self.failed if each != rank.rank)]
                self.raised.pop(rank.rank, None)
                self.silent_s.pop(rank.rank, None)

    def _take_arrivals(self) -> None:
        if self._listener is not None:
            self._channels.update(self._listener.arrivals())

    def _take_ends(self) -> None:
        ended = self._launcher.ended()
        self._take_arrivals()  # what they said last comes before that they ended
        for number, rank in list(self._waiting.items()):
            while rank.pid in ended and number in self._waiting and self._has_more(number):
                self._listen(number)
            if rank.pid in ended and number in self._waiting:
                self.died[number] = ended[rank.pid]
                self._fail(number)

    def _has_more(self, rank: int) -> bool:
        return rank in self._channels and rank not in self.hung_up and self._channels[rank].is_readable()

    def _fail(self, rank: int) -> None:
        self.failed.append(rank)
        del self._waiting[rank]
        self._start_grace()

    def _start_grace(self) -> None:
        self._grace_end_s = min(self._grace_end_s, time.monotonic() + min(GRACE_S, self._timeout_s))
