"""The controller's line to one member of torchrun's world."""

import pickle
from dataclasses import dataclass, field
from typing import Any

from pytest_gpt_dist.cluster.about import about
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.messages import Exited, Leave, Refused, Welcome
from pytest_gpt_dist.cluster.torchrun.hello import Hello
from pytest_gpt_dist.cluster.wire import PROTOCOL_VERSION, Channel, ChannelClosed
from pytest_gpt_dist.host.world import Slot

_SEND_S = 5.0
_SAME = ("job_version", "torch", "pytest_gpt_dist")


@dataclass(eq=False)
class Member:
    """A process that torchrun started, once it is let in.

    `lost` says why it is not there any more; `statuses` are the exit statuses of its ranks that ended by themselves, by
    pid, and `answers` those to requests.
    """

    rank: int
    address: str
    channel: Channel
    hello: Hello | None = None
    lost: str | None = None
    statuses: dict[int, int] = field(default_factory=dict)
    answers: dict[int, Any] = field(default_factory=dict)
    preloaded: set[str] = field(default_factory=set)
    _request: int = 1

    @property
    def name(self) -> str:
        """Return its machine as messages name it."""
        return f"a machine at {self.address}" if self.hello is None else self.slot.name

    @property
    def slot(self) -> Slot:
        """Return the room for a rank that it has."""
        assert self.hello is not None
        return self.hello.slot(self.address)

    def send(self, message: object, deadline: Deadline) -> int:
        """Send a request, and return its number; a member that does not take it is lost with the next `take`."""
        self._request += 1
        if self.lost is None:
            try:
                self.channel.send_pickled(
                    pickle.dumps(message, pickle.HIGHEST_PROTOCOL),
                    self._request,
                    max(1e-3, min(_SEND_S, deadline.left_s())),
                )
            except (ChannelClosed, TimeoutError):
                self.channel.hang_up()
        return self._request

    def take(self) -> bool:
        """Take in what it has sent; True when it has introduced itself. ChannelClosed when nothing more will come."""
        introduced = False
        for frame in self.channel.receive_ready():
            match frame.message:
                case str() as text if self.hello is None:
                    self._meet(text)
                    introduced = True
                case Exited(pid=pid, status=status):
                    self.statuses[pid] = status
                case answer:
                    self.answers[frame.request] = answer
        return introduced

    def leave(self) -> None:
        """Tell it that there is no more work for it."""
        if self.lost is None:
            try:
                self.channel.send(Leave(), timeout_s=_SEND_S)
            except (ChannelClosed, TimeoutError):
                self.channel.hang_up()

    def _meet(self, text: str) -> None:
        try:
            hello = Hello.from_json(text)
            different = _difference(hello)
            if hello.rank != self.rank:
                different = f"it came as rank {self.rank} and says that it is {hello.rank}"
        except (KeyError, TypeError, ValueError) as error:
            hello, different = None, f"what it says of itself cannot be read here: {error}"
        if different:
            self.channel.send(Refused(different), timeout_s=_SEND_S)
            raise ChannelClosed(different)
        self.channel.send(Welcome(), timeout_s=_SEND_S)
        self.hello = hello


def _difference(hello: Hello) -> str:
    """Return in which version the member differs from this side; "" in none that counts."""
    if hello.protocol != PROTOCOL_VERSION:
        return f"it speaks version {hello.protocol} of the protocol, pytest {PROTOCOL_VERSION}"
    mine = about()
    for name in _SAME:
        if hello.about.get(name) != mine[name]:
            return f"{name} is {hello.about.get(name)} there and {mine[name]} where pytest runs"
    return ""
