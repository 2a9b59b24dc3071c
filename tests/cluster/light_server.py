"""A server whose ranks have no torch, so that it starts at once; all else is as in the real one.

Started in place of a Python interpreter. In the environment, LIGHT_SERVER_GREETS_LATE_S and LIGHT_SERVER_ENDS_LATE_S
have it take a while.
"""

import os
import pickle
import shutil
import signal
import socket
import sys
import time
from typing import NoReturn

from pytest_gpt_dist.cluster.callables import unpack
from pytest_gpt_dist.cluster.connect import connect
from pytest_gpt_dist.cluster.local.fork_server import ForkServer
from pytest_gpt_dist.cluster.messages import START, Call, RankSpec, Ready, Returned
from pytest_gpt_dist.cluster.rank import Progress, RankInfo
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.host.linux import end_with_parent, go_first_when_out_of_memory

_STEP_S = 0.1


def rank_main(spec: RankSpec, parent: int, store: socket.socket | None) -> NoReturn:
    """Be a rank that calls functions until it is asked to leave."""
    end_with_parent(parent, signal.SIGKILL)
    go_first_when_out_of_memory()
    with open(spec.log, "a") as log:
        log.write("here\n")
    channel = connect(spec.controller, spec.rank, spec.timeout_s)
    info = RankInfo(spec.rank, spec.world_size, "cpu", "gloo", False, 1, (), False, spec.collective_timeout_s)
    try:
        channel.send(Ready(info), START)
        while isinstance((frame := channel.receive()).message, Call):
            fn, args = unpack(frame.message.parcel)
            channel.send(Returned(pickle.dumps(fn(*args))), frame.request)
    except ChannelClosed:
        pass
    os._exit(0)


def main() -> None:
    """Serve as ``pytest_gpt_dist.cluster.server`` does."""
    given = dict(zip(sys.argv, sys.argv[1:], strict=False))
    channel = Channel(socket.socket(fileno=int(given["--socket"])))
    for _ in range(round(float(os.environ.get("LIGHT_SERVER_GREETS_LATE_S", "0")) / _STEP_S)):
        time.sleep(_STEP_S)
        channel.send(Progress("importing"))
    channel.send({"sys_path": list(sys.path), "about": {}})
    ForkServer(channel, rank_main).serve()
    time.sleep(float(os.environ.get("LIGHT_SERVER_ENDS_LATE_S", "0")))
    shutil.rmtree(given["--scratch"], ignore_errors=True)
