"""The life of a rank: from the fork to its end. Imported by the server, so that every rank has it at once."""

import faulthandler
import io
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from pytest_gpt_dist.cluster import rank as rank_face
from pytest_gpt_dist.cluster.callables import unpack
from pytest_gpt_dist.cluster.messages import (
    STACK_SIGNAL,
    START,
    Call,
    Leave,
    Raised,
    RankSpec,
    Ready,
    Returned,
)
from pytest_gpt_dist.cluster.rank import Progress, RankInfo
from pytest_gpt_dist.cluster.rank_device import limit_memory, take_device
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.linux import end_with_parent, go_first_when_out_of_memory


def live(spec: RankSpec, parent: int, fds: tuple[int, ...]) -> NoReturn:
    """Be a rank, in a process just forked from process `parent`; never returns.

    `fds` are the socket to the controller and, on rank 0, the listening socket of the group's store.
    """
    status = 1
    try:
        os.setpgid(0, 0)
        end_with_parent(parent, signal.SIGKILL)
        go_first_when_out_of_memory()
        _redirect(spec)
        _write_log(spec)
        _serve(spec, Controller(Channel(socket.socket(fileno=fds[0]))), fds[1:])
        status = 0
    except ChannelClosed:
        status = 0
    except SystemExit as end:
        traceback.print_exc()
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 0xFF)  # not sys.exit: threads of torch may never end


class Controller:
    """The rank's line to the controller; any thread may send."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._request = START

    def wait(self) -> Call | Leave:
        """Wait for the next order; the controller's end, by whatever cause, ends the wait."""
        frame = self._channel.receive()
        self._request = frame.request
        assert isinstance(frame.message, (Call, Leave))
        return frame.message

    def send(self, message: object) -> None:
        """Send a message that belongs to the order last received."""
        with self._sending:
            self._channel.send(message, self._request)


def _redirect(spec: RankSpec) -> None:
    """Send all that this process and its libraries print to its own file, and its stacks to another."""
    log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    stack = os.open(spec.stack, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.enable(stack)
    faulthandler.register(STACK_SIGNAL, stack)


def _write_log(spec: RankSpec) -> None:
    """Have what this package logs join what the process prints, each line with its time, level and rank."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s rank {spec.rank}: %(message)s"))
    logger = logging.getLogger("pytest_gpt_dist")
    logger.addHandler(handler)
    logger.setLevel(spec.log_level.upper())
    logger.propagate = False  # code under test may have the root logger write there, too


def _serve(spec: RankSpec, controller: Controller, store_fds: tuple[int, ...]) -> None:
    try:
        info = _join(spec, store_fds, controller)
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
            case Call(sys_path=sys_path, parcel=parcel):
                if sys_path:
                    sys.path[:] = sys_path
                try:
                    fn, args = unpack(parcel)
                    answer: object = Returned(_pack_result(fn(*args)))
                except Exception as error:
                    answer = _raised(error)
                controller.send(answer)


def _join(spec: RankSpec, store_fds: tuple[int, ...], controller: Controller) -> RankInfo:
    if spec.cpus:
        os.sched_setaffinity(0, spec.cpus)
    torch.set_num_threads(spec.threads)
    os.environ.update(
        RANK=str(spec.rank),
        LOCAL_RANK=str(spec.rank),
        WORLD_SIZE=str(spec.world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(spec.store_port),
        GLOO_SOCKET_IFNAME="lo",
    )
    controller.send(Progress(f"taking its part of {spec.device}"))
    mine = take_device(spec)
    controller.send(Progress(f"meeting the others at 127.0.0.1:{spec.store_port}"))
    timeout = timedelta(seconds=spec.collective_timeout_s)
    store = TCPStore(
        "127.0.0.1",
        spec.store_port,
        spec.world_size,
        is_master=spec.rank == 0,
        timeout=timeout,
        master_listen_fd=store_fds[0] if store_fds else None,
    )
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


class _ResultPickler(pickle.Pickler):
    """Keeps tensors on a GPU from travelling: unpacking one would start CUDA in the controller."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) and obj.device.type != "cpu":
            raise pickle.PicklingError(f"it holds a tensor on {obj.device}; return it with .cpu()")
        return NotImplemented


def _pack_result(result: object) -> bytes:
    buffer = io.BytesIO()
    try:
        _ResultPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(result)
    except Exception as error:
        what = f"the result, a {type(result).__qualname__}, cannot be sent to the controller"
        raise TypeError(f"{what}: {error}") from error
    return buffer.getvalue()


_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
"""What gloo, which has no exceptions of its own, says when another rank went away."""


def _raised(error: Exception) -> Raised:
    summary = " ".join("".join(traceback.format_exception_only(error)).split())
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
