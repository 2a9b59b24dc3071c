"""How ranks find their controller: it listens at an address, and each rank says the group's token and its number.

A rank's first frame is no message but that token: nothing is unpickled of a peer that has not said it.
"""

import os
import secrets
import selectors
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Protocol, Self

from pytest_gpt_dist.cluster.handshake import Identity, RefusedError, join
from pytest_gpt_dist.cluster.secret import read_secret
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, encode, request_of

_TOKEN_BYTES = 32
_UNREACHABLE_S = 20.0
"""How long, at the longest, a machine may answer nothing before its connections end."""
_LEAST_BACKLOG = 128
_MOST_STRANGERS = 64
"""How many peers beyond the ranks may have connected and not yet said who they are; the longest there goes first."""


def new_token() -> str:
    """Return a group's name, which nobody can guess."""
    return secrets.token_hex(_TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class ControllerAddress:
    """Where the controller listens: a Unix socket's path, or a host and a port; and the token that opens it.

    Where it is `sealed`, who connects proves to know the secret that machines share, and the token only names the
    group. Otherwise the token travels over TCP as it is: for networks whose other users are trusted not to listen.
    """

    token: str
    path: str = ""
    host: str = ""
    port: int = 0
    sealed: bool = False

    def hello(self, rank: int) -> bytes:
        """Return the first bytes that a rank sends."""
        return encode(rank, self.token.encode())


class Arrivals(Protocol):
    """Where the ranks of one group connect, while it starts."""

    @property
    def address(self) -> ControllerAddress:
        """Where that is."""

    def fileno(self) -> int:
        """Return the descriptor to wait on; no other object that is waited on has the same."""

    def arrivals(self) -> dict[int, Channel]:
        """Return, without waiting, the ranks that have said who they are since the last call."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Let nobody else in."""


class Listener:
    """A socket for the ranks of one group, open while the group starts.

    It has one descriptor for all: that is readable when a rank has connected, or a peer that is no rank.
    """

    def __init__(self, world_size: int, folder: Path, host: str | None) -> None:
        token = new_token()
        self._world_size = world_size
        self._strangers: deque[_Stranger] = deque()
        self._known: set[int] = set()
        self._file = folder / f"ranks-{token[:16]}" if host is None else None
        backlog = max(_LEAST_BACKLOG, world_size)
        if self._file is not None:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                with _short(self._file) as path:
                    self._socket.bind(path)
                self._socket.listen(backlog)
            except BaseException:
                self._socket.close()
                raise
            self._address = ControllerAddress(token, path=str(self._file))
        else:
            assert host is not None
            self._socket = socket.create_server((host, 0), backlog=backlog)
            self._address = ControllerAddress(token, host=host, port=self._socket.getsockname()[1])
        try:
            self._selector = selectors.EpollSelector()
            self._socket.setblocking(False)
            self._selector.register(self._socket, selectors.EVENT_READ)
        except BaseException:
            self._socket.close()
            raise

    @property
    def address(self) -> ControllerAddress:
        """Where ranks connect."""
        return self._address

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._selector.fileno()

    def arrivals(self) -> dict[int, Channel]:
        """Return, without waiting, the ranks that have said who they are since the last call; drop other peers."""
        arrived: dict[int, Channel] = {}
        # A rank that has connected may have said its words already: look again, though not for as long as peers come.
        for _ in range(self._world_size + _MOST_STRANGERS):
            if not (ready := self._selector.select(0)):
                break
            for key, _ in ready:
                if key.data is None:
                    self._accept()
                elif key.data in self._strangers and (said := key.data.listen()) is not None:
                    self._let_go(key.data)
                    if (rank := self._rank_that_said(said)) is None:
                        key.data.socket.close()
                    else:
                        self._known.add(rank)
                        arrived[rank] = Channel(key.data.socket)
        return arrived

    def _rank_that_said(self, said: bytes) -> int | None:
        """Return the number of a rank that has not come before, by its first words; None for any others."""
        if len(said) < len(self.address.hello(0)):
            return None
        rank = request_of(said)
        if rank >= self._world_size or rank in self._known:
            return None
        return rank if compare_digest(said, self.address.hello(rank)) else None

    def close(self) -> None:
        """Close the socket, and the connections of those who have not said who they are."""
        for stranger in self._strangers:
            stranger.socket.close()
        self._selector.close()
        self._socket.close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        if self._file is None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stranger = _Stranger(connection, len(self.address.hello(0)))
        self._strangers.append(stranger)
        self._selector.register(connection, selectors.EVENT_READ, stranger)
        if len(self._strangers) > self._world_size + _MOST_STRANGERS:
            oldest = self._strangers[0]
            self._let_go(oldest)
            oldest.socket.close()

    def _let_go(self, stranger: "_Stranger") -> None:
        self._strangers.remove(stranger)
        self._selector.unregister(stranger.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stranger:
    """A peer that has connected, and what it has said."""

    def __init__(self, connection: socket.socket, hello_bytes: int) -> None:
        self.socket = connection
        self._wanted = hello_bytes
        self._said = b""

    def listen(self) -> bytes | None:
        """Return what it said once that is as long as a rank's first words, or all there will be; None before."""
        try:
            data = self.socket.recv(self._wanted - len(self._said))
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._said += data
        return self._said if not data or len(self._said) == self._wanted else None


def connect(address: ControllerAddress, rank: int, timeout_s: float) -> Channel:
    """Connect a rank to its controller; ChannelClosed when that is not there."""
    if address.sealed:
        return _connect_sealed(address, rank, timeout_s)
    line = socket.socket(socket.AF_UNIX if address.path else socket.AF_INET)
    try:
        if address.path:
            # Without a timeout: the kernel would refuse, instead of having us wait for room among those who connect.
            with _short(Path(address.path)) as path:
                line.connect(path)
        else:
            line.settimeout(timeout_s)
            line.connect((address.host, address.port))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sendall(address.hello(rank))
    except OSError as error:
        line.close()
        raise ChannelClosed(f"the controller cannot be reached: {error}") from error
    return Channel(line)


def dial(host: str, port: int, secret: bytes, identity: Identity, timeout_s: float) -> Channel:
    """Connect to a listener that shares a secret.

    OSError or ChannelClosed where it cannot be reached, RefusedError where it does not know the secret.
    """
    line = socket.create_connection((host, port), timeout_s)
    try:
        end_when_unreachable(line, timeout_s)
        return join(line, secret, identity, timeout_s)
    except BaseException:
        line.close()
        raise


def end_when_unreachable(line: socket.socket, timeout_s: float) -> None:
    """Have the kernel end a connection whose other side cannot be reached any more, well within a time."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    patience_s = min(timeout_s / 2, _UNREACHABLE_S)
    each_s = max(1, int(patience_s / 4))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, each_s)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, each_s)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience_s * 1000))


def _connect_sealed(address: ControllerAddress, rank: int, timeout_s: float) -> Channel:
    try:
        return dial(address.host, address.port, read_secret(), Identity(rank, address.token), timeout_s)
    except (OSError, RefusedError) as error:
        raise ChannelClosed(f"the controller cannot be reached: {error}") from error


@contextmanager
def held_port(host: str) -> Iterator[int]:
    """Hold a port for a server that another process opens: bound and not listening, it goes to nobody who does not ask
    for it by its number.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, 0))
        yield held.getsockname()[1]


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name for a path that is short enough for a Unix socket: those have 108 bytes, temporary folders more."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
