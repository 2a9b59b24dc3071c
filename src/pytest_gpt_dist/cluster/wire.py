"""Framed messages between controller, server and ranks, over any stream socket.

A frame is a fixed header (magic, protocol version, nothing, request id, length) and a pickled message. The header's
shape never changes, so that two sides of different versions can at least say so. Pickle is safe here because both ends
of every channel are processes of one user who started them, and over a network every frame is sealed: see `handshake`.
"""

import hmac
import pickle
import select
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PROTOCOL_VERSION = 7
UNASKED = 0
"""The request id of a message that answers no request."""

_MAGIC = b"gptd"
_HEADER = struct.Struct("!4sHHQQ")
_READ_BYTES = 1 << 18
_NUMBER = struct.Struct("!Q")
_SEAL_BYTES = _NUMBER.size + 32
MOST_SEALED_BYTES = 1 << 30
"""Of a message over a network: what claims to be longer ends the line before it fills the memory."""


class ProtocolError(Exception):
    """The other side does not speak this protocol, or another version of it; ``newer`` if that is a later one."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        super().__init__(message)
        self.newer = newer


class ChannelClosed(Exception):  # noqa: N818  an end, not always an error
    """The other side is gone."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message and the request it belongs to."""

    request: int
    message: Any


class Seal:
    """The HMACs of one direction of a line: each frame has a higher number than the one before."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0

    def of(self, frame: bytes) -> bytes:
        """Return what is sent behind a frame."""
        self._number += 1
        number = _NUMBER.pack(self._number)
        return number + self._tag(number, frame)

    def check(self, frame: bytes, seal: bytes) -> None:
        """Raise ProtocolError for a frame that the other side did not send, or that came before."""
        number, tag = seal[: _NUMBER.size], seal[_NUMBER.size :]
        if not hmac.compare_digest(tag, self._tag(number, frame)):
            raise ProtocolError("a message of somebody else came over the line")
        (count,) = _NUMBER.unpack(number)
        if count <= self._number:
            raise ProtocolError("a message came over the line for the second time")
        self._number = count

    def _tag(self, number: bytes, frame: bytes) -> bytes:
        return hmac.digest(self._key, number + frame, "sha256")


@dataclass(frozen=True, slots=True)
class Seals:
    """Both directions of a sealed line."""

    out: Seal
    into: Seal


def encode(request: int, payload: bytes, version: int = PROTOCOL_VERSION) -> bytes:
    """Return the bytes of one frame around an already pickled message."""
    return _HEADER.pack(_MAGIC, version, 0, request, len(payload)) + payload


def request_of(frame: bytes) -> int:
    """Return the request id in the header of a frame, whoever made it."""
    request: int = _HEADER.unpack_from(frame)[3]
    return request


class Decoder:
    """Turns a stream of bytes, cut anywhere, into (request id, pickled message)."""

    def __init__(self, seal: Seal | None = None) -> None:
        self._buffer = bytearray()
        self._seal = seal

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take in bytes and return the frames they complete; ProtocolError when they cannot be ours."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEADER.size:
            magic, version, _, request, length = _HEADER.unpack_from(self._buffer)
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
            sealed = end if self._seal is None else end + _SEAL_BYTES
            if self._seal is not None and length > MOST_SEALED_BYTES:
                raise ProtocolError(
                    f"the other side sends a message of {length:,} bytes, which nobody takes in"
                )
            if len(self._buffer) < sealed:
                break
            if self._seal is not None:
                self._seal.check(bytes(self._buffer[:end]), bytes(self._buffer[end:sealed]))
            frames.append((request, bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:sealed]
        return frames


def _message(payload: bytes) -> Any:
    try:
        return pickle.loads(payload)
    except Exception as error:  # such as a class that has moved
        said = f"{type(error).__name__}: {error}"
        raise ProtocolError(f"what the other side says cannot be read here: {said}") from error


class Channel:
    """One end of a connection; owns its socket. Its frames are sealed where it has `seals`."""

    def __init__(self, sock: socket.socket, seals: Seals | None = None) -> None:
        self._socket = sock
        self._seal = None if seals is None else seals.out
        self._decoder = Decoder(None if seals is None else seals.into)
        self._frames: deque[Frame] = deque()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def send(self, message: object, request: int = UNASKED, timeout_s: float | None = None) -> None:
        """Send one message whole; ChannelClosed when nobody listens, TimeoutError after `timeout_s`."""
        self.send_pickled(pickle.dumps(message, pickle.HIGHEST_PROTOCOL), request, timeout_s)

    def send_pickled(self, payload: bytes, request: int = UNASKED, timeout_s: float | None = None) -> None:
        """Send one message that is pickled already."""
        self.send_rest(self.frame(request, payload), timeout_s)

    def frame(self, request: int, payload: bytes) -> bytes:
        """Return the bytes of one frame as this line carries it; frames are sent in the order in which they are made.

        One may be left out, but none sent in part.
        """
        frame = encode(request, payload)
        return frame if self._seal is None else frame + self._seal.of(frame)

    def send_rest(self, data: bytes | memoryview, timeout_s: float | None = None) -> None:
        """Send what `send_ready` has left of a frame."""
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def send_ready(self, data: memoryview) -> memoryview:
        """Send what the line takes of a frame without waiting, and return the rest of it."""
        try:
            self._socket.settimeout(0)
            return data[self._socket.send(data) :]
        except BlockingIOError:
            return data
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def is_readable(self) -> bool:
        """Return whether something has come that was not taken in, be it the end."""
        return bool(self._readable(0))

    def receive(self, timeout_s: float | None = None) -> Frame:
        """Wait for one message; TimeoutError after `timeout_s` without any byte, ChannelClosed at the end."""
        while not self._frames:
            try:
                self._read(timeout_s)
            except BlockingIOError:
                raise TimeoutError("nothing has come") from None
        return self._frames.popleft()

    def receive_ready(self) -> list[Frame]:
        """Return messages that are complete now, without waiting; ChannelClosed when none will come.

        There may be more: a side that sends without pause must not keep the other one reading.
        """
        try:
            while not self._frames:
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
        try:
            frames = [Frame(request, _message(payload)) for request, payload in self._decoder.feed(data)]
        except ProtocolError as error:
            if self._seal is None:
                raise
            raise ChannelClosed(
                str(error)
            ) from error  # whoever else speaks on the line, its end is all they get
        self._frames += frames

    def _receive_bytes(self, timeout_s: float | None) -> bytes:
        # Without the socket's own timeout, which belongs to whoever sends: on a rank that may be another thread.
        if not self._readable(timeout_s):
            raise BlockingIOError if timeout_s == 0 else TimeoutError
        return self._socket.recv(_READ_BYTES)

    def _readable(self, timeout_s: float | None) -> list[tuple[int, int]]:
        if self._socket.fileno() < 0:
            raise OSError("this end is closed")
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return poll.poll(None if timeout_s is None else timeout_s * 1000)

    def hang_up(self) -> None:
        """End the connection both ways, and keep the descriptor: who waits on it hears of the end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
