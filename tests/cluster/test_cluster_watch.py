"""When a rank counts as silent: lines whose other ends are held by the test, and no processes."""

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster.launcher import Launcher
from pytest_gpt_dist.cluster.messages import Returned
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.cluster.watch import RankProcess, Watch
from pytest_gpt_dist.cluster.wire import Channel

REQUEST = 7
ANSWER = Returned(b"")
TIMEOUT_S = 0.1


class NoNews:
    """A launcher that never tells of an end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def ended(self) -> Mapping[int, int]:
        return {}


Begin = Callable[[float], tuple[Watch, list[Channel]]]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return a function that begins to wait for two ranks, and returns what they would send through."""
    reader, writer = os.pipe()
    mine, its = zip(*(map(Channel, socket.socketpair()) for _ in range(2)), strict=True)
    ranks = [RankProcess(n, n, Path(), Path()) for n in range(2)]

    def begin(timeout_s: float) -> tuple[Watch, list[Channel]]:
        launcher: Launcher = NoNews(reader)  # type: ignore[assignment]
        return Watch(ranks, dict(enumerate(mine)), launcher, REQUEST, timeout_s), list(its)

    yield begin
    for channel in (*mine, *its):
        channel.close()
    os.close(reader)
    os.close(writer)


def test_an_answer_that_came_while_the_controller_was_stopped_is_in_time(begin: Begin) -> None:
    watch, (one, other) = begin(TIMEOUT_S)
    one.send(ANSWER, REQUEST)
    other.send(ANSWER, REQUEST)
    time.sleep(2 * TIMEOUT_S)
    watch.wait()
    assert watch.complete
    assert not watch.silent_s


def test_an_answer_that_came_while_the_wait_itself_was_stopped_is_in_time(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(selectors.EpollSelector):
        """Goes on after its timeout, and then takes no look, as the kernel's does."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout:
                time.sleep(2 * timeout)
                return []
            return super().select(timeout)

    monkeypatch.setattr("selectors.DefaultSelector", Stopped)
    watch, (one, other) = begin(TIMEOUT_S)
    one.send(ANSWER, REQUEST)
    other.send(ANSWER, REQUEST)
    watch.wait()
    assert watch.complete


def test_progress_that_came_while_the_controller_was_stopped_is_no_silence(begin: Begin) -> None:
    watch, (one, other) = begin(TIMEOUT_S)
    one.send(ANSWER, REQUEST)
    other.send(Progress("round"), REQUEST)
    time.sleep(2 * TIMEOUT_S)
    timer = threading.Timer(TIMEOUT_S / 10, other.send, (ANSWER, REQUEST))
    timer.start()
    watch.wait()
    timer.join()
    assert watch.complete


def test_one_that_said_nothing_is_blamed_alone(begin: Begin) -> None:
    watch, (one, _) = begin(TIMEOUT_S)
    one.send(ANSWER, REQUEST)
    watch.wait()
    assert set(watch.answers) == {0}
    assert set(watch.silent_s) == {1}


def test_the_first_to_fall_silent_is_not_blamed_alone(begin: Begin) -> None:
    watch, (_, other) = begin(4 * TIMEOUT_S)
    timer = threading.Timer(TIMEOUT_S, other.send, (Progress("loading"), REQUEST))
    timer.start()
    watch.wait()
    timer.join()
    assert set(watch.silent_s) == {0, 1}


def test_an_answer_on_its_way_is_no_silence(begin: Begin) -> None:
    watch, (one, other) = begin(3 * TIMEOUT_S)
    one.send(ANSWER, REQUEST)
    large = threading.Thread(target=send_slowly, args=(other, 6 * TIMEOUT_S))
    large.start()
    watch.wait()
    large.join()
    assert watch.complete


def send_slowly(channel: Channel, seconds: float) -> None:
    """Send an answer in ten parts."""
    mine, taken = map(Channel, socket.socketpair())
    mine.send(Returned(bytes(1000)), REQUEST)
    mine.close()
    stream = taken._socket.recv(10_000)
    taken.close()
    part = len(stream) // 9
    for start in range(0, len(stream), part):
        channel._socket.sendall(stream[start : start + part])
        time.sleep(seconds / 10)
