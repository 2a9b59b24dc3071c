"""Tasks: functions on ranks that exchange events with the controller while they run."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from patience import FOREVER_S
from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup, RankGroupError
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.cluster.stream import MOST_UNREAD, Stream
from pytest_gpt_dist.cluster.task import Task
from pytest_gpt_dist.errors import UsageError

AllGone = Callable[..., bool]


@dataclass(frozen=True)
class Request:
    """Something of a test module's own that travels both ways."""

    number: int


def echo(stream: Stream, factor: int) -> int:
    count = 0
    for request in stream:
        stream.send(Request(request.number * factor + this_rank().rank))
        count += 1
    return count


def count_up(stream: Stream, count: int) -> str:
    for number in range(count):
        stream.send(number)
        dist.barrier()
    return "done"


def act_on_order(stream: Stream) -> str:
    """Rank 1 does what it is told; the others wait for it."""
    stream.send("here")
    if this_rank().rank != 1:
        dist.barrier()
        return "met"
    order = stream.receive()
    stream.send("last words")
    if order == "raise":
        raise ValueError("no luck")
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(FOREVER_S)
    return "slept"


def wait_for_word(stream: Stream) -> object:
    return stream.receive()


def wait_in_vain(stream: Stream) -> str:
    for timeout_s in (0.0, 0.05):
        with pytest.raises(TimeoutError, match="the controller sent no event within"):
            stream.receive(timeout_s)
    stream.send("waited")
    with pytest.raises(EOFError):
        stream.receive()
    return "ended"


def flood_then_listen(stream: Stream, count: int, size: int) -> int:
    for _ in range(count):
        stream.send(bytes(size))
    return sum(len(event) for event in stream)


def ignore_everything(stream: Stream) -> None:
    time.sleep(FOREVER_S)


def fall_out_of_step(stream: Stream) -> None:
    stream.send("here")
    if this_rank().rank == 0:
        dist.all_reduce(torch.zeros(1), async_op=True)
    stream.receive()


def send_nonsense(stream: Stream) -> None:
    stream.send(lambda: None)


@pytest.fixture
def pair(cluster: Cluster) -> RankGroup:
    return cluster.group(2)


def is_usable(group: RankGroup) -> bool:
    return group.run(os.getpid) == list(group.pids)


def next_of(task: Task, count: int) -> list[tuple[int, object]]:
    events: Iterator[tuple[int, object]] = task.events()
    return [next(events) for _ in range(count)]


def test_events_travel_both_ways_and_results_come_at_the_end(pair: RankGroup) -> None:
    with pair.start(echo, 10) as task:
        task.send(1, Request(4))
        assert next_of(task, 1) == [(1, Request(41))]
        task.send(0, Request(5))
        task.send(0, Request(6))
        assert next_of(task, 2) == [(0, Request(50)), (0, Request(60))]
        assert list(task.events(timeout_s=0)) == []
        assert task.result() == [2, 1]
        assert task.result() == [2, 1]
    assert is_usable(pair)


def test_events_of_each_rank_come_in_order_and_end_with_the_ranks(pair: RankGroup) -> None:
    with pair.start(count_up, 50) as task:
        events = list(task.events())
        assert task.result() == ["done", "done"]
    for rank in range(2):
        assert [number for who, number in events if who == rank] == list(range(50))


@pytest.mark.parametrize(
    ("order", "kind", "summary"),
    [
        ("raise", "exception", "rank 1 raised ValueError: no luck"),
        ("kill", "death", "rank 1 was killed by SIGKILL"),
    ],
)
def test_a_failure_amid_events_comes_after_them_and_ends_the_group(
    pair: RankGroup, all_gone: AllGone, order: str, kind: str, summary: str
) -> None:
    with pair.start(act_on_order) as task:
        assert sorted(next_of(task, 2)) == [(0, "here"), (1, "here")]
        task.send(1, order)
        events = task.events()
        assert next(events) == (1, "last words")
        with pytest.raises(RankGroupError) as caught:
            next(events)
    assert (caught.value.kind, caught.value.ranks) == (kind, (1,))
    assert str(caught.value).startswith(summary)
    assert all_gone(*pair.pids)
    with pytest.raises(RuntimeError, match="this task is over"):
        task.send(0, "more")


def test_a_rank_that_waits_for_events_is_not_silent(impatient: Cluster, silence_s: float) -> None:
    with impatient.group(2).start(wait_for_word) as task:
        assert list(task.events(timeout_s=1.75 * silence_s)) == []
        for rank in range(2):
            task.send(rank, "word")
        assert task.result() == ["word", "word"]


def test_a_controller_that_does_not_listen_makes_no_rank_silent(impatient: Cluster, silence_s: float) -> None:
    with impatient.group(1).start(flood_then_listen, 1, 10) as task:
        time.sleep(1.5 * silence_s)
        assert next_of(task, 1) == [(0, bytes(10))]
        assert task.result() == [0]


def test_a_rank_that_neither_works_nor_waits_is_silent(impatient: Cluster) -> None:
    with impatient.group(2).start(act_on_order) as task:
        task.send(1, "sleep")
        with pytest.raises(RankGroupError, match="silent for") as caught:
            task.result()
    assert caught.value.kind == "silence"
    assert 1 in caught.value.ranks


def test_waiting_has_an_end(pair: RankGroup) -> None:
    with pair.start(wait_in_vain) as task:
        assert sorted(next_of(task, 2)) == [(0, "waited"), (1, "waited")]
        assert task.result() == ["ended"] * 2


def test_both_sides_may_send_more_than_a_line_holds(cluster: Cluster) -> None:
    count, size = 40, 100_000
    with cluster.group(1).start(flood_then_listen, count, size) as task:
        for _ in range(count):
            task.send(0, bytes(size))
        task.end()
        assert sum(len(event) for _, event in task.events()) == count * size
        assert task.result() == [count * size]


def test_unread_events_are_bounded_and_dropped_by_the_result(pair: RankGroup) -> None:
    with pair.start(flood_then_listen, 5 * MOST_UNREAD, 10) as task:
        assert task.result() == [0, 0]
    assert is_usable(pair)


def test_a_cancelled_task_leaves_a_group_that_can_be_used(pair: RankGroup) -> None:
    task = pair.start(echo, 1)
    with pytest.raises(RuntimeError, match="a task runs on this group"):
        pair.run(os.getpid)
    with pytest.raises(RuntimeError, match="a task runs on this group"):
        pair.start(echo, 1)
    task.cancel()
    task.cancel()
    with pytest.raises(RuntimeError, match="this task is over"):
        task.result()
    assert is_usable(pair)


def test_leaving_early_ends_ranks_that_send_without_pause(pair: RankGroup) -> None:
    with pair.start(flood_then_listen, 10**9, 1000) as task:
        next_of(task, 3)
    assert is_usable(pair)


def test_an_error_of_the_controllers_own_ends_the_task(pair: RankGroup) -> None:
    with pytest.raises(KeyError), pair.start(echo, 1):
        raise KeyError("mine")
    assert is_usable(pair)


@pytest.mark.parametrize("fn", [ignore_everything, fall_out_of_step])
def test_ranks_that_do_not_leave_a_cancelled_task_together_are_killed(
    cluster: Cluster, all_gone: AllGone, fn: Callable[[Stream], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_gpt_dist.cluster.task.CANCEL_S", 0.5)
    group = cluster.group(2)
    with group.start(fn) as task:
        if fn is fall_out_of_step:
            next_of(task, 2)
    assert not group.alive
    assert all_gone(*group.pids)
    assert is_usable(cluster.group(2))


def test_what_cannot_travel_is_one_line(cluster: Cluster) -> None:
    group = cluster.group(1)
    with group.start(echo, 1) as task:
        with pytest.raises(UsageError, match="the event, a function, cannot be sent to the ranks: "):
            task.send(0, lambda: None)
        with pytest.raises(UsageError, match="there is no rank 7 in a group of 1"):
            task.send(7, Request(1))
        assert task.result() == [0]
    with (
        group.start(send_nonsense) as task,
        pytest.raises(RankGroupError, match="the event, a function, cannot be sent to the controller"),
    ):
        task.result()


def test_closing_a_cluster_ends_a_task(tmp_path: Path, cluster: Cluster, all_gone: AllGone) -> None:
    config: ClusterConfig = replace(cluster.config, log_dir=tmp_path)
    with Cluster(config) as other:
        group = other.group(1)
        group.start(echo, 1)
    assert all_gone(*group.pids)
