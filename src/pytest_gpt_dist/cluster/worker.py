"""What a rank does once it is connected: it joins its group and calls functions. The server imports it beforehand."""

import io
import os
import pickle
import socket
import sys
import threading
import traceback
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from pytest_gpt_dist.cluster import rank as rank_face
from pytest_gpt_dist.cluster.callables import unpack
from pytest_gpt_dist.cluster.messages import (
    START,
    Call,
    Cancelled,
    Leave,
    Raised,
    RankSpec,
    Ready,
    Returned,
)
from pytest_gpt_dist.cluster.rank import Progress, RankInfo
from pytest_gpt_dist.cluster.rank_device import limit_memory, take_device
from pytest_gpt_dist.cluster.stream import Stream, TaskCancelled
from pytest_gpt_dist.cluster.wire import Channel
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.network import interface_towards
from pytest_gpt_dist.host.preconditions import LOOPBACK, open_files


class Controller:
    """The rank's line to the controller; any thread may send."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._request = START

    def wait(self) -> Call | Leave:
        """Wait for the next order; the controller's end, by whatever cause, ends the wait."""
        while not isinstance((frame := self._channel.receive()).message, (Call, Leave)):
            pass  # an event of a task that is over here
        self._request = frame.request
        return frame.message

    def receive(self, timeout_s: float) -> object:
        """Return the next message of a task; TimeoutError when none comes."""
        return self._channel.receive(timeout_s).message

    def receive_ready(self) -> list[object]:
        """Return the messages of a task that are there now."""
        return [frame.message for frame in self._channel.receive_ready()]

    def send(self, message: object) -> None:
        """Send a message that belongs to the order last received."""
        with self._sending:
            self._channel.send(message, self._request)


def serve(spec: RankSpec, channel: Channel, store: socket.socket | None) -> None:
    """Join the group, answer the controller's calls, and return when the rank is to leave.

    `store` is the listening socket of the group's store on the rank that hosts it.
    """
    controller = Controller(channel)
    try:
        info = _join(spec, store, controller)
        rank_face.become(info, controller.send)
        controller.send(Ready(info))
    except Exception as error:
        controller.send(_raised(error))
        controller.wait()
        return
    while True:
        match controller.wait():
            case Leave():
                dist.destroy_process_group()
                return
            case Call(sys_path=sys_path, parcel=parcel, streams=streams):
                if sys_path:
                    sys.path[:] = sys_path
                try:
                    fn, args = unpack(parcel)
                    if streams:
                        args = (Stream(controller, partial(_pack, "the event"), spec.timeout_s), *args)
                    answer: object = Returned(_pack("the result", fn(*args)))
                except TaskCancelled:
                    answer = Cancelled()
                except Exception as error:
                    answer = _raised(error)
                controller.send(answer)


def _join(spec: RankSpec, listening: socket.socket | None, controller: Controller) -> RankInfo:
    meeting = spec.rendezvous
    if spec.cpus:
        os.sched_setaffinity(0, spec.cpus)
    torch.set_num_threads(spec.threads)
    os.environ.update(
        RANK=str(spec.rank),
        LOCAL_RANK=str(spec.local_rank),
        GROUP_RANK=str(spec.node),
        WORLD_SIZE=str(spec.world_size),
        LOCAL_WORLD_SIZE=str(spec.local_world_size),
        MASTER_ADDR=meeting.host,
        MASTER_PORT=str(meeting.port),
    )
    if meeting.host == LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    elif interface := interface_towards(meeting.host):
        os.environ.setdefault(
            "GLOO_SOCKET_IFNAME", interface
        )  # it would ask for the address of the host's name
    controller.send(Progress(f"taking its part of {spec.device}"))
    mine = take_device(spec)
    controller.send(Progress(f"meeting the others at {meeting.host}:{meeting.port}"))
    timeout = timedelta(seconds=spec.collective_timeout_s)
    store: Store = TCPStore(
        meeting.host,
        meeting.port,
        spec.world_size,
        is_master=listening is not None,
        timeout=timeout,
        wait_for_workers=meeting.hosted_by is not None,
        master_listen_fd=None if listening is None else listening.detach(),
    )
    if meeting.prefix:
        store = PrefixStore(meeting.prefix, store)
    controller.send(Progress(f"joining them over {mine.backend}"))
    dist.init_process_group(
        mine.process_group, store=store, rank=spec.rank, world_size=spec.world_size, timeout=timeout
    )
    limit_memory(spec.memory_limit_bytes, mine.device)
    return RankInfo(
        rank=spec.rank,
        world_size=spec.world_size,
        device=mine.device,
        backend=mine.backend,
        staged=mine.device != "cpu" and mine.backend == "gloo",
        threads=spec.threads,
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        oversubscribed=spec.oversubscribed,
        collective_timeout_s=spec.collective_timeout_s,
    )


class _Pickler(pickle.Pickler):
    """Keeps tensors on a GPU from travelling: unpacking one would start CUDA in the controller."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) and obj.device.type != "cpu":
            raise pickle.PicklingError(f"it holds a tensor on {obj.device}; return it with .cpu()")
        return NotImplemented


def _pack(what: str, value: object) -> bytes:
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception as error:
        named = f"{what}, a {type(value).__qualname__}, cannot be sent to the controller"
        raise TypeError(f"{named}: {error}") from error
    return buffer.getvalue()


_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
"""What gloo, which has no exceptions of its own, says when another rank went away."""


def _raised(error: Exception) -> Raised:
    summary = " ".join("".join(traceback.format_exception_only(error)).split())
    # The libraries below say nothing of why a file or a socket could not be opened.
    if isinstance(error, (dist.DistError, OSError)) and (files := open_files()).remedy:
        summary += f" ({files})"
    # The first frame is this module's.
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = str(error)
    return Raised(
        summary=summary,
        traceback="".join(traceback.format_exception(type(error), error, frames or error.__traceback__)),
        out_of_memory=isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or "DefaultCPUAllocator: can't allocate memory" in text,
        from_communication=isinstance(error, dist.DistError) or any(phrase in text for phrase in _LOST),
        usage=text if isinstance(error, UsageError) else None,
    )
