import os
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster.wire import (
    PROTOCOL_VERSION,
    Channel,
    ChannelClosed,
    Decoder,
    ProtocolError,
    encode,
)

FRAMES = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=200)), max_size=6)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    left, right = map(Channel, socket.socketpair())
    yield left, right
    left.close()
    right.close()


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 1500)))
def test_frames_survive_any_cutting_of_the_stream(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode(request, payload) for request, payload in frames)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    decoder = Decoder()
    decoded = [frame for start, end in pairwise(edges) for frame in decoder.feed(stream[start:end])]
    assert decoded == [(request, payload) for request, payload in frames]


def test_another_version_is_named() -> None:
    frame = encode(1, b"", version=PROTOCOL_VERSION + 6)
    with pytest.raises(
        ProtocolError, match=rf"version {PROTOCOL_VERSION + 6} .* version {PROTOCOL_VERSION}$"
    ):
        Decoder().feed(frame)


def test_something_else_on_the_line_is_named() -> None:
    with pytest.raises(ProtocolError, match="does not speak"):
        Decoder().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 20)


def test_a_message_larger_than_the_sockets_buffer_arrives_whole(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    message = os.urandom(5_000_000)
    sender = threading.Thread(target=left.send, args=(message, 7))
    sender.start()
    frame = right.receive(10)
    sender.join()
    assert (frame.request, frame.message) == (7, message)


def test_what_was_sent_before_the_end_is_still_received(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    left.send("last words")
    left.close()
    assert [frame.message for frame in right.receive_ready()] == ["last words"]
    with pytest.raises(ChannelClosed):
        right.receive_ready()


def test_sending_to_nobody_says_so(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    right.close()
    with pytest.raises(ChannelClosed):
        left.send("anybody?")


def test_waiting_has_a_deadline(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        pair[0].receive(0.05)


def test_nothing_ready_is_an_empty_list(pair: tuple[Channel, Channel]) -> None:
    assert pair[0].receive_ready() == []


def test_the_header_keeps_its_shape_for_every_version() -> None:
    assert encode(3, pickle.dumps(None))[:24] == struct.pack("!4sHHQQ", b"gptd", PROTOCOL_VERSION, 0, 3, 4)


def test_what_came_while_the_waiting_process_was_stopped_is_in_time(
    pair: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = pair
    take = right._receive_bytes

    def late(timeout_s: float | None) -> bytes:
        if timeout_s:  # the timeout has passed when the process goes on
            left.send("here")
            raise TimeoutError
        return take(timeout_s)

    monkeypatch.setattr(right, "_receive_bytes", late)
    assert right.receive(10).message == "here"
