"""Two sides that share a secret, and all those that do not."""

import pickle
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster.handshake import (
    ANSWER_BYTES,
    Accepted,
    Challenge,
    Identity,
    RefusedError,
    join,
)
from pytest_gpt_dist.cluster.secret import SECRET, SECRET_FILE, read_secret
from pytest_gpt_dist.cluster.wire import MOST_SEALED_BYTES, Channel, ChannelClosed, encode
from pytest_gpt_dist.errors import UsageError

AT_MOST_S = 10.0
SECRET_HERE = b"what both sides know"
WHO = Identity(3, "ab" * 32)


@dataclass
class Pair:
    """A listener's and a peer's end of a line, sealed, and all bytes that either sent before it was."""

    listener: Channel
    peer: Channel
    lines: tuple[socket.socket, socket.socket]
    identity: Identity
    heard: bytes


def meet(secret: bytes, theirs: bytes) -> Pair:
    ours, other = socket.socketpair()
    challenge = Challenge.new()
    ours.sendall(challenge.words)
    with ThreadPoolExecutor(1) as pool:
        joined = pool.submit(join, other, theirs, WHO, AT_MOST_S)
        answer = b""
        while len(answer) < ANSWER_BYTES:
            answer += ours.recv(ANSWER_BYTES - len(answer))
        accepted = challenge.accepted(secret, answer)
        if accepted is None:
            ours.close()
            with other:
                joined.result(AT_MOST_S)
        assert isinstance(accepted, Accepted)
        ours.sendall(accepted.proof)
        peer = joined.result(AT_MOST_S)
    heard = challenge.words + answer + accepted.proof
    return Pair(Channel(ours, accepted.seals), peer, (ours, other), accepted.identity, heard)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = meet(SECRET_HERE, SECRET_HERE)
    yield pair
    pair.listener.close()
    pair.peer.close()


def test_who_shares_the_secret_is_let_in_and_never_says_it(pair: Pair) -> None:
    assert pair.identity == WHO
    assert SECRET_HERE not in pair.heard
    pair.peer.send("from the peer", 7)
    pair.listener.send("from the listener")
    assert pair.listener.receive(AT_MOST_S).message == "from the peer"
    assert pair.peer.receive(AT_MOST_S).message == "from the listener"


def test_a_wrong_secret_is_refused() -> None:
    with pytest.raises(RefusedError, match="it refuses this side's secret"):
        meet(SECRET_HERE, b"a guess")


def test_a_listener_that_does_not_know_the_secret_is_refused() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        ours.sendall(Challenge.new().words + b"p" * 32)
        with pytest.raises(RefusedError, match="it does not know the secret"):
            join(other, SECRET_HERE, WHO, AT_MOST_S)


def test_another_program_is_no_listener() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        ours.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 200)
        with pytest.raises(RefusedError, match="no pytest-gpt-dist"):
            join(other, SECRET_HERE, WHO, AT_MOST_S)


@pytest.mark.parametrize(
    "what", ["without a seal", "changed", "again", "from the other direction", "endless"]
)
def test_what_somebody_puts_into_the_line_ends_it_and_is_not_unpickled(
    pair: Pair, tmp_path: Path, what: str
) -> None:
    trap = pickle.dumps(Trap(str(tmp_path / "unpickled")))
    sealed = pair.peer.frame(1, pickle.dumps("right"))
    words = {
        "without a seal": encode(1, trap) + bytes(40),
        "changed": sealed.replace(b"right", b"wrong"),
        "again": sealed + sealed,
        "from the other direction": pair.listener.frame(1, trap),
        "endless": encode(1, b"")[:-8] + (MOST_SEALED_BYTES + 1).to_bytes(8, "big"),
    }
    pair.lines[1].sendall(words[what])
    with pytest.raises(ChannelClosed):
        pair.listener.receive(AT_MOST_S)
    assert not (tmp_path / "unpickled").exists()


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]


def test_the_secret_comes_from_the_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("  from the file\n")
    assert read_secret({SECRET_FILE: str(file), SECRET: "other"}) == b"from the file"
    assert read_secret({SECRET: "from the environment"}) == b"from the environment"


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "empty"), (" \n", "empty"), ("x" * 5000, "longer than 4096"), (None, "cannot be read")],
)
def test_no_secret_is_one_line_that_does_not_quote_it(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_secret({SECRET_FILE: str(file)})
    assert "xxxx" not in str(caught.value)
    with pytest.raises(UsageError, match=f"name a file that holds it in {SECRET_FILE}"):
        read_secret({})
