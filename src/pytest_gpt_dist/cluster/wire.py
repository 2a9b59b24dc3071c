"""Framed messages between controller, server and ranks, over any stream socket.

A frame is a fixed header (magic, protocol version, number of file descriptors, request id, length) and a
pickled message. The header's shape never changes, so that two sides of different versions can at least say
so. Pickle is safe here because both ends of every channel are processes of one user who started them.
"""

import pickle
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PROTOCOL_VERSION = 5
UNASKED = 0
"""The request id of a message that answers no request."""

_MAGIC = b"gptd"
_HEADER = struct.Struct("!4sHHQQ")
_READ_BYTES = 1 << 18
_MAX_FDS = 16


class ProtocolError(Exception):
    """The other side does not speak this protocol, or another version of it; ``newer`` if that is a later one."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        super().__init__(message)
        self.newer = newer


class ChannelClosed(Exception):  # noqa: N818  an end, not always an error
    """The other side is gone."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, the request it belongs to, and the file descriptors that came with it."""

    request: int
    message: Any
    fds: tuple[int, ...] = ()


def encode(request: int, payload: bytes, fds: int = 0, version: int = PROTOCOL_VERSION) -> bytes:
    """Return the bytes of one frame around an already pickled message that `fds` descriptors go with."""
    return _HEADER.pack(_MAGIC, version, fds, request, len(payload)) + payload


class Decoder:
    """Turns a stream of bytes, cut anywhere, into (request id, pickled message, descriptors)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """Take in bytes and return the frames they complete; ProtocolError when they cannot be ours."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEADER.size:
            magic, version, fds, request, length = _HEADER.unpack_from(self._buffer)
            if magic != _MAGIC:
                raise ProtocolError(
                    f"the other side does not speak pytest-gpt-dist's protocol: {bytes(magic)!r}"
                )
            if version != PROTOCOL_VERSION:
                raise ProtocolError(
                    f"the other side speaks version {version} of pytest-gpt-dist's protocol, this side "
                    f"version {PROTOCOL_VERSION}",
                    newer=version > PROTOCOL_VERSION,
                )
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append((request, bytes(self._buffer[_HEADER.size : end]), fds))
            del self._buffer[:end]
        return frames


def _message(payload: bytes) -> Any:
    try:
        return pickle.loads(payload)
    except Exception as error:  # such as a class that has moved
        said = f"{type(error).__name__}: {error}"
        raise ProtocolError(f"what the other side says cannot be read here: {said}") from error


class Channel:
    """One end of a connection; owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()
        self._fds: list[int] = []

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def send(
        self, message: object, request: int = UNASKED, fds: Sequence[int] = (), timeout_s: float | None = None
    ) -> None:
        """Send one message whole; ChannelClosed when nobody listens, TimeoutError after `timeout_s`."""
        self.send_pickled(pickle.dumps(message, pickle.HIGHEST_PROTOCOL), request, fds, timeout_s)

    def send_pickled(
        self, payload: bytes, request: int = UNASKED, fds: Sequence[int] = (), timeout_s: float | None = None
    ) -> None:
        """Send one message that is pickled already."""
        data = memoryview(encode(request, payload, len(fds)))
        try:
            self._socket.settimeout(timeout_s)
            if fds:
                data = data[socket.send_fds(self._socket, [data], list(fds)) :]
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, timeout_s: float | None = None) -> Frame:
        """Wait for one message; TimeoutError after `timeout_s` without any byte, ChannelClosed at the end."""
        while not self._frames:
            self._read(timeout_s)
        return self._frames.popleft()

    def receive_ready(self) -> list[Frame]:
        """Return the messages that are complete now, without waiting; ChannelClosed when none will come."""
        try:
            while True:
                self._read(0)
        except BlockingIOError:
            pass
        except ChannelClosed:
            if not self._frames:
                raise
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def _read(self, timeout_s: float | None) -> None:
        try:
            try:
                data = self._receive_bytes(timeout_s)
            except TimeoutError:  # or this process was stopped for so long: what came meanwhile is in time
                data = self._receive_bytes(0)
        except BlockingIOError:
            if timeout_s == 0:
                raise
            raise TimeoutError(f"nothing came within {timeout_s} s") from None
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not data:
            raise ChannelClosed("end of file")
        for request, payload, count in self._decoder.feed(data):
            # Descriptors travel with the first byte of their frame, so they are here before its last one.
            mine, self._fds = tuple(self._fds[:count]), self._fds[count:]
            if len(mine) < count:
                raise ProtocolError(
                    f"{count - len(mine)} of {count} file descriptors were lost on their way: too many files are open"
                )
            self._frames.append(Frame(request, _message(payload), mine))

    def _receive_bytes(self, timeout_s: float | None) -> bytes:
        self._socket.settimeout(timeout_s)
        if self._socket.family != socket.AF_UNIX:
            return self._socket.recv(_READ_BYTES)
        data, fds, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _MAX_FDS)
        self._fds += fds
        return data

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
