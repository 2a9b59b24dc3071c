"""pytest's control address: it lets in who knows the secret, and nobody else disturbs it."""

import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from pytest_gpt_dist.cluster.connect import ControllerAddress, end_when_unreachable, new_token
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.handshake import ANSWER_BYTES, Accepted, Challenge
from pytest_gpt_dist.cluster.torchrun.member import Member
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.errors import UsageError

_log = logging.getLogger(__name__)
_MOST_STRANGERS = 256
"""How many peers may have connected and not yet proved that they know the secret; the longest there goes first."""
_PROOF_S = 10.0
"""How long a peer may take to prove it."""
_MOST_EVENTS = 1024


class ControlPort:
    """The one port of a session over machines: members of torchrun's world connect to it, and so do their ranks.

    One descriptor is readable whenever `pump` has something to do.
    """

    def __init__(self, host: str, port: int, secret: bytes, timeout_s: float) -> None:
        self.host, self._secret, self._timeout_s = host, secret, timeout_s
        self.members: dict[int, Member] = {}
        self.refused = 0
        self._strangers: deque[_Stranger] = deque()
        self._groups: dict[str, GroupPort] = {}
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be listened at ({error.strerror or error}); name an address of this machine"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        self._socket.setblocking(False)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._selector.fileno()

    @contextmanager
    def waiting(self) -> Iterator["Waiter"]:
        """Give what waits until `pump` has something to do."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno(), selectors.EVENT_READ)
            yield Waiter(self, selector)

    def pump(self) -> None:
        """Take in, without waiting, all that has come: peers, proofs, what members say, and their ends."""
        for _ in range(_MOST_EVENTS):
            if not (ready := self._selector.select(0)):
                break
            for key, _mask in ready:
                match key.data:
                    case None:
                        self._accept()
                    case _Stranger() as stranger if stranger in self._strangers:
                        self._listen(stranger)
                    case Member() as member if member.lost is None:
                        self._hear(member)
        late_s = time.monotonic() - _PROOF_S
        while self._strangers and self._strangers[0].came_s < late_s:
            self._refuse(self._strangers[0])

    def listen(self) -> "GroupPort":
        """Open the way for the ranks of a new group."""
        token = new_token()
        address = ControllerAddress(token, host=self.host, port=self.port, sealed=True)
        self._groups[token] = found = GroupPort(self, address)
        return found

    def forget(self, token: str) -> None:
        """Let no more ranks of a group in."""
        for channel in self._groups.pop(token).came.values():
            channel.close()

    def ask(self, members: list[Member], messages: list[object], timeout_s: float) -> list[Any]:
        """Send each member a message and return the answers in their order; None of one that was lost or silent."""
        deadline = Deadline.after(timeout_s)
        requests = [member.send(message, deadline) for member, message in zip(members, messages, strict=True)]
        with self.waiting() as waiter:
            waiter.until(
                lambda: all(
                    member.lost is not None or request in member.answers
                    for member, request in zip(members, requests, strict=True)
                ),
                deadline,
            )
        return [member.answers.pop(request, None) for member, request in zip(members, requests, strict=True)]

    def drop(self, member: Member, why: str) -> None:
        """End the line to a member, which then kills its ranks and connects again."""
        if member.lost is None:
            member.lost = why
            with suppress(KeyError, ValueError):
                self._selector.unregister(member.channel)
            member.channel.close()

    def close(self) -> None:
        """Tell every member that the session is over, and let nobody in any more."""
        for member in self.members.values():
            member.leave()
            self.drop(member, "the session is over")
        for stranger in self._strangers:
            stranger.line.close()
        self._strangers.clear()
        self._selector.close()
        self._socket.close()

    def _accept(self) -> None:
        try:
            line, _ = self._socket.accept()
        except OSError:  # it has gone already, or this process has too many files open
            return
        line.setblocking(False)
        stranger = _Stranger(line, Challenge.new())
        self._strangers.append(stranger)
        self._selector.register(line, selectors.EVENT_READ, stranger)
        try:
            end_when_unreachable(line, self._timeout_s)
            line.send(stranger.challenge.words)  # which a new line always has room for
        except OSError:
            self._refuse(stranger)
        if len(self._strangers) > _MOST_STRANGERS:
            self._refuse(self._strangers[0])

    def _listen(self, stranger: "_Stranger") -> None:
        try:
            data = stranger.line.recv(ANSWER_BYTES - len(stranger.said))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        stranger.said += data
        if data and len(stranger.said) < ANSWER_BYTES:
            return
        accepted = stranger.challenge.accepted(self._secret, stranger.said)
        if accepted is None:
            self._refuse(stranger)
            return
        self._let_go(stranger)
        try:
            stranger.line.send(accepted.proof)
        except OSError:
            stranger.line.close()
            return
        self._let_in(accepted, stranger.line)

    def _let_in(self, accepted: Accepted, line: socket.socket) -> None:
        channel, who = Channel(line, accepted.seals), accepted.identity
        if not who.group:
            member = Member(who.rank, line.getpeername()[0], channel)
            self._selector.register(channel, selectors.EVENT_READ, member)
            return
        group = self._groups.get(who.group)
        if group is None or not group.take(who.rank, channel):
            channel.close()

    def _hear(self, member: Member) -> None:
        try:
            introduced = member.take()
        except ChannelClosed as error:
            said = str(error)
            self.lose(member, "its connection ended" if said == "end of file" else said)
            return
        if introduced:
            before = self.members.get(member.rank)
            if before is not None:
                self.drop(before, "it has connected anew")
            self.members[member.rank] = member
            _log.info("%s has come as rank %d", member.name, member.rank)

    def lose(self, member: Member, why: str) -> None:
        """Let a member go, which then kills its ranks and connects again."""
        _log.info("%s is gone: %s", member.name, why)
        self.drop(member, why)
        if self.members.get(member.rank) is member:
            del self.members[member.rank]

    def _refuse(self, stranger: "_Stranger") -> None:
        self.refused += 1
        self._let_go(stranger)
        stranger.line.close()

    def _let_go(self, stranger: "_Stranger") -> None:
        self._strangers.remove(stranger)
        self._selector.unregister(stranger.line)


class Waiter:
    """Waits at a control port."""

    def __init__(self, control: ControlPort, selector: selectors.BaseSelector) -> None:
        self._control = control
        self._selector = selector

    def until(self, holds: Callable[[], bool], deadline: Deadline) -> bool:
        """Pump until a condition holds; False when time is up."""
        while True:
            self._control.pump()
            if holds():
                return True
            if not (left_s := deadline.left_s()):
                return False
            self._selector.select(left_s)


@dataclass(eq=False)
class GroupPort:
    """Where the ranks of one group connect: a part of the control port."""

    control: ControlPort
    address: ControllerAddress
    came: dict[int, Channel] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    descriptor: int = -1

    def __post_init__(self) -> None:
        self.descriptor = os.dup(self.control.fileno())

    def take(self, rank: int, channel: Channel) -> bool:
        """Take in a rank; False of one that came before."""
        if rank in self.known:
            return False
        self.known.add(rank)
        self.came[rank] = channel
        return True

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self.descriptor

    def arrivals(self) -> dict[int, Channel]:
        """Return, without waiting, the ranks that have come since the last call."""
        self.control.pump()
        arrived, self.came = self.came, {}
        return arrived

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self.control.forget(self.address.token)


@dataclass(eq=False)
class _Stranger:
    """A peer that has connected, what it was asked, and what it has said."""

    line: socket.socket
    challenge: Challenge
    said: bytes = b""
    came_s: float = field(default_factory=time.monotonic)
