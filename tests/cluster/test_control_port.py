"""pytest's control address: who gets in, and who leaves the session undisturbed."""

import os
import pickle
import resource
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gpt_dist.cluster.connect import connect, dial
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.handshake import Identity, RefusedError
from pytest_gpt_dist.cluster.messages import Preload, Preloaded, Refused, Welcome
from pytest_gpt_dist.cluster.secret import SECRET
from pytest_gpt_dist.cluster.torchrun.control import ControlPort
from pytest_gpt_dist.cluster.torchrun.hello import Hello, own_hello
from pytest_gpt_dist.cluster.torchrun.launcher import TorchrunWorld
from pytest_gpt_dist.cluster.wire import Channel, encode
from pytest_gpt_dist.errors import UsageError

HOST = "127.0.0.1"
KEY = b"the secret of these tests"
AT_MOST_S = 10.0
PLACE = {
    "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "GROUP_RANK": "0",
    "MASTER_ADDR": HOST, "MASTER_PORT": "29500",
}  # fmt: skip


@pytest.fixture
def control() -> Iterator[ControlPort]:
    control = ControlPort(HOST, 0, KEY, AT_MOST_S)
    yield control
    control.close()


def pumped(control: ControlPort, rounds: int = 20) -> None:
    for _ in range(rounds):
        select.select([control], [], [], 0.02)
        control.pump()


def admitted(control: ControlPort, identity: Identity, key: bytes = KEY) -> Channel:
    """A peer's channel; the port is looked after meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        line = pool.submit(dial, HOST, control.port, key, identity, AT_MOST_S)
        while not line.done():
            pumped(control, 1)
        return line.result()


def hello(rank: int = 0) -> Hello:
    return own_hello(PLACE | {"RANK": str(rank), "GROUP_RANK": str(rank)})


def member(control: ControlPort, rank: int) -> Channel:
    channel = admitted(control, Identity(rank))
    channel.send(hello(rank).to_json())
    pumped(control)
    return channel


def test_a_world_is_whole_when_every_member_is_there(control: ControlPort) -> None:
    world = TorchrunWorld(control, AT_MOST_S)
    assert world.whole(0.0) == f"no rank of torchrun has come after 0 s at {HOST}:{control.port}"
    first = member(control, 0)
    assert isinstance(first.receive(AT_MOST_S).message, Welcome)
    assert str(world.whole(0.0)).startswith(
        "1 of 2 ranks of torchrun have come, those of 1 machines after 0 s"
    )
    second = member(control, 1)
    assert world.whole(AT_MOST_S) is None
    assert [slot.machine for slot in world.world.slots] == [0, 1]
    first.close()
    pumped(control)
    assert world.whole(0.0) is not None
    second.close()


def test_a_member_answers_and_its_end_is_heard(control: ControlPort) -> None:
    line = member(control, 0)
    line.receive(AT_MOST_S)
    (there,) = control.members.values()
    request = there.send(Preload(()), Deadline.after(AT_MOST_S))
    assert line.receive(AT_MOST_S).request == request
    line.send(Preloaded(), request)
    pumped(control)
    assert isinstance(there.answers[request], Preloaded)
    line.close()
    assert control.ask([there], [Preload(())], AT_MOST_S) == [None]
    assert there.lost == "its connection ended"


def test_a_rank_comes_to_its_group_only_once(control: ControlPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, KEY.decode())
    monkeypatch.delenv("GPT_DIST_SECRET_FILE", raising=False)
    with control.listen() as group, ThreadPoolExecutor(1) as pool:
        elsewhere = replace(group.address, token="cd" * 32)
        attempts = [(group.address, 1), (group.address, 1), (elsewhere, 0)]
        came: list[set[int]] = []
        for address, rank in attempts:
            line = pool.submit(connect, address, rank, AT_MOST_S)
            while not line.done():
                pumped(control, 1)
            arrived = group.arrivals()
            came.append(set(arrived))
            line.result().close()
            for channel in arrived.values():
                channel.close()
        assert came == [{1}, set(), set()]


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 200,
        encode(1, pickle.dumps("a message")) + b"x" * 200,
        os.urandom(1000),
        b"",
    ],
    ids=["http", "pickle", "rubbish", "nothing"],
)
def test_strangers_are_refused_and_members_undisturbed(control: ControlPort, said: bytes) -> None:
    line = member(control, 0)
    with socket.create_connection((HOST, control.port)) as peer:
        peer.settimeout(AT_MOST_S)
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        pumped(control)
        with suppress(ConnectionResetError):
            while peer.recv(4096):
                pass
    assert control.refused == 1
    assert list(control.members) == [0]
    assert isinstance(line.receive(AT_MOST_S).message, Welcome)
    line.close()


def test_a_wrong_secret_is_refused(control: ControlPort) -> None:
    with pytest.raises(RefusedError):
        admitted(control, Identity(0), b"a guess")
    assert control.refused == 1
    assert control.members == {}


def test_a_flood_of_bytes_fills_no_memory(control: ControlPort) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = b"\0" * (1 << 20)
    with socket.create_connection((HOST, control.port)) as peer:
        peer.settimeout(0.5)
        with suppress(OSError):
            for _ in range(100):
                peer.sendall(block)
                control.pump()
    pumped(control)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    assert control.refused == 1


def test_many_silent_strangers_do_not_keep_a_member_out(control: ControlPort) -> None:
    peers = [socket.create_connection((HOST, control.port)) for _ in range(300)]
    pumped(control, 5)
    line = member(control, 1)
    assert list(control.members) == [1]
    line.close()
    for peer in peers:
        peer.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": 1}, "it speaks version 1 of the protocol"),
        ({"about": {}}, "job_version is None there"),
        ({"rank": 1}, "it came as rank 0 and says that it is 1"),
        ({"world_size": 0}, "what it says of itself cannot be read here"),
    ],
)
def test_a_member_of_another_kind_is_told_why(
    control: ControlPort, changes: dict[str, object], said: str
) -> None:
    line = admitted(control, Identity(0))
    line.send(replace(hello(), **changes).to_json())  # type: ignore[arg-type]
    pumped(control)
    answer = line.receive(AT_MOST_S).message
    assert isinstance(answer, Refused)
    assert said in answer.reason
    assert control.members == {}
    line.close()


def test_an_address_of_another_machine_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name an address of this machine"):
        ControlPort("192.0.2.1", 29400, KEY, AT_MOST_S)


def test_without_torchrun_there_is_no_member() -> None:
    with pytest.raises(UsageError, match="RANK is not set: start it by torchrun"):
        own_hello({})
