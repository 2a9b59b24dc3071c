"""Who gets in at the address where a controller listens for its ranks."""

import os
import pickle
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster.connect import ControllerAddress, Listener, connect
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, encode

AT_MOST_S = 10.0


@pytest.fixture(params=[None, "127.0.0.1"], ids=["unix", "tcp"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    with Listener(2, tmp_path, request.param) as listener:
        yield listener


def stranger(address: ControllerAddress) -> socket.socket:
    """A peer that has connected and said nothing."""
    if address.path:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address.path)
    else:
        peer = socket.create_connection((address.host, address.port))
    peer.settimeout(AT_MOST_S)
    return peer


def is_dropped(peer: socket.socket) -> bool:
    with peer:
        try:
            return peer.recv(1) == b""
        except ConnectionResetError:
            return True


def closed(channels: dict[int, Channel]) -> set[int]:
    for channel in channels.values():
        channel.close()
    return set(channels)


def test_ranks_arrive_in_any_order_with_what_they_said(listener: Listener) -> None:
    lines = [connect(listener.address, rank, AT_MOST_S) for rank in (1, 0)]
    lines[0].send("here is rank 1", 7)
    arrived = listener.arrivals()
    assert set(arrived) == {0, 1}
    assert arrived[1].receive(AT_MOST_S).message == "here is rank 1"
    for line in (*lines, *arrived.values()):
        line.close()


@pytest.mark.parametrize("what", ["token", "rank", "again", "pickle", "nonsense"])
def test_who_does_not_say_the_right_words_is_dropped(listener: Listener, tmp_path: Path, what: str) -> None:
    address = listener.address
    own = connect(address, 0, AT_MOST_S)
    assert closed(listener.arrivals()) == {0}
    trap = tmp_path / "unpickled"
    words = {
        "token": replace(address, token="0" * len(address.token)).hello(1),
        "rank": address.hello(2),
        "again": address.hello(0),
        "pickle": encode(1, pickle.dumps(Trap(str(trap)))),
        "nonsense": b"GET / HTTP/1.1\r\n" + b"x" * 200,
    }
    peer = stranger(address)
    peer.sendall(words[what])
    assert listener.arrivals() == {}
    assert is_dropped(peer)
    assert not trap.exists()
    own.close()


class Trap:
    """Does something when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self._path,)


def test_who_says_nothing_keeps_nobody_out_and_is_dropped_at_the_end(listener: Listener) -> None:
    peer = stranger(listener.address)
    assert listener.arrivals() == {}
    line = connect(listener.address, 1, AT_MOST_S)
    assert closed(listener.arrivals()) == {1}
    line.close()
    listener.close()
    assert is_dropped(peer)


def test_words_may_come_in_parts(listener: Listener) -> None:
    words = listener.address.hello(1)
    peer = stranger(listener.address)
    peer.sendall(words[:10])
    assert listener.arrivals() == {}
    peer.sendall(words[10:])
    assert closed(listener.arrivals()) == {1}
    peer.close()


def test_many_who_say_nothing_are_not_all_kept(listener: Listener) -> None:
    peers = []
    for _ in range(80):
        peers.append(stranger(listener.address))
        listener.arrivals()
    assert is_dropped(peers[0])
    for peer in peers:
        peer.close()


def test_a_long_path_is_no_obstacle_and_the_socket_goes(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True, mode=0o700)
    with Listener(1, folder, None) as listener:
        assert stat.S_ISSOCK(os.stat(listener.address.path).st_mode)
        line = connect(listener.address, 0, AT_MOST_S)
        assert closed(listener.arrivals()) == {0}
        line.close()
    assert list(folder.iterdir()) == []


def test_a_controller_that_has_gone_is_the_end_of_the_line(listener: Listener) -> None:
    listener.close()
    with pytest.raises(ChannelClosed, match="the controller cannot be reached"):
        connect(listener.address, 0, AT_MOST_S)
