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
from typing import Self

from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, encode, request_of

_TOKEN_BYTES = 32
_LEAST_BACKLOG = 128
_MOST_STRANGERS = 64
"""How many peers beyond the ranks may have connected and not yet said who they are; the longest there goes first."""


@dataclass(frozen=True, slots=True)
class ControllerAddress:
    """Where the controller listens: a Unix socket's path, or a host and a port; and the token that opens it.

    Over TCP the token travels as it is: for networks whose other users are trusted not to listen.
    """

    token: str
    path: str = ""
    host: str = ""
    port: int = 0

    def hello(self, rank: int) -> bytes:
        """Return the first bytes that a rank sends."""
        return encode(rank, self.token.encode())


class Listener:
    """A socket for the ranks of one group, open while the group starts.

    It has one descriptor for all: that is readable when a rank has connected, or a peer that is no rank.
    """

    def __init__(self, world_size: int, folder: Path, host: str | None) -> None:
        token = secrets.token_hex(_TOKEN_BYTES)
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
            self.address = ControllerAddress(token, path=str(self._file))
        else:
            assert host is not None
            self._socket = socket.create_server((host, 0), backlog=backlog)
            self.address = ControllerAddress(token, host=host, port=self._socket.getsockname()[1])
        try:
            self._selector = selectors.EpollSelector()
            self._socket.setblocking(False)
            self._selector.register(self._socket, selectors.EVENT_READ)
        except BaseException:
            self._socket.close()
            raise

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
