"""How two processes that share a secret prove it to each other over TCP, and seal what they say afterwards.

The listener sends a challenge; the peer answers with one of its own and HMAC-SHA-256 of both; the listener answers
with another HMAC. So the secret itself never travels, what was overheard opens nothing, and each side knows the other
before it unpickles a byte. Every frame that follows carries a number and its HMAC under a key of this connection
alone: bytes that somebody else puts into the line end it. Nothing is encrypted.
"""

import hmac
import secrets
import socket
import struct
import time
from dataclasses import dataclass

from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, Seal, Seals

_GREETING = b"gpt-dist handshake 1\n"
_NONCE_BYTES = 32
_TAG_BYTES = 32
CHALLENGE_BYTES = len(_GREETING) + _NONCE_BYTES
_IDENTITY = struct.Struct("!I32s")
ANSWER_BYTES = _NONCE_BYTES + _IDENTITY.size + _TAG_BYTES


class RefusedError(Exception):
    """The other side does not know the secret, or is no pytest-gpt-dist."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who connects: a rank of the group that a token names, or of no group: what torchrun started as that rank."""

    rank: int
    group: str = ""

    @property
    def words(self) -> bytes:
        """Return it as it is sent."""
        return _IDENTITY.pack(self.rank, bytes.fromhex(self.group))

    @classmethod
    def read(cls, words: bytes) -> "Identity":
        """Return the identity that was sent."""
        rank, group = _IDENTITY.unpack(words)
        return cls(rank, group.hex() if any(group) else "")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A peer that knows the secret: who it says it is, what it is to be sent, and the line's seals."""

    identity: Identity
    proof: bytes
    seals: Seals


@dataclass(frozen=True, slots=True, repr=False)
class Challenge:
    """What a listener asks of one peer; a new one for each."""

    nonce: bytes

    @classmethod
    def new(cls) -> "Challenge":
        """Return one that nobody can foresee."""
        return cls(secrets.token_bytes(_NONCE_BYTES))

    @property
    def words(self) -> bytes:
        """Return what is sent to the peer."""
        return _GREETING + self.nonce

    def accepted(self, secret: bytes, answer: bytes) -> Accepted | None:
        """Return who answers so, None of a peer that does not know the secret."""
        if len(answer) != ANSWER_BYTES:
            return None
        said, tag = answer[:-_TAG_BYTES], answer[-_TAG_BYTES:]
        both = self.nonce + said
        if not hmac.compare_digest(tag, _tag(secret, b"peer", both)):
            return None
        seals = Seals(Seal(_tag(secret, b"from listener", both)), Seal(_tag(secret, b"from peer", both)))
        return Accepted(Identity.read(said[_NONCE_BYTES:]), _tag(secret, b"listener", both), seals)


def join(line: socket.socket, secret: bytes, identity: Identity, timeout_s: float) -> Channel:
    """Prove to a listener that this side knows the secret, and have it prove the same; return the sealed channel.

    RefusedError where either is not so, ChannelClosed where the line ends, TimeoutError after ``timeout_s``.
    """
    deadline_s = time.monotonic() + timeout_s
    challenge = _receive(line, CHALLENGE_BYTES, deadline_s)
    if not challenge.startswith(_GREETING):
        raise RefusedError("what listens there is no pytest-gpt-dist, or one of another version")
    mine = secrets.token_bytes(_NONCE_BYTES) + identity.words
    both = challenge[len(_GREETING) :] + mine
    line.sendall(mine + _tag(secret, b"peer", both))
    try:
        proof = _receive(line, _TAG_BYTES, deadline_s)
    except ChannelClosed:
        raise RefusedError("it refuses this side's secret") from None
    if not hmac.compare_digest(proof, _tag(secret, b"listener", both)):
        raise RefusedError("it does not know the secret")
    return Channel(
        line, Seals(Seal(_tag(secret, b"from peer", both)), Seal(_tag(secret, b"from listener", both)))
    )


def _tag(secret: bytes, role: bytes, nonces: bytes) -> bytes:
    return hmac.digest(secret, b"pytest-gpt-dist " + role + b"\0" + nonces, "sha256")


def _receive(line: socket.socket, count: int, deadline_s: float) -> bytes:
    found = b""
    while len(found) < count:
        line.settimeout(max(1e-3, deadline_s - time.monotonic()))
        try:
            data = line.recv(count - len(found))
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not data:
            raise ChannelClosed("end of file")
        found += data
    return found
