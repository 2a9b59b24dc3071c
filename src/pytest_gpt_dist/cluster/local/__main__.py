"""The server that ranks are forked from: `python -m pytest_gpt_dist.cluster.server`.

It imports torch and then does nothing but fork, signal and reap: no tensor operation,
nothing of torch.cuda, one thread. So a rank starts with its imports done, and nothing that a fork would
break has happened. It ends, with its ranks, when the other end of its socket closes or its parent dies.

Controllers of other revisions start it, too, for one side of an A/B: so the name of this module, its arguments and the
greeting stay as they are, whatever else moves. The greeting is plain values, which any version can read: from it the
controller learns whether the two understand each other before it sends anything.
"""

import argparse
import gc
import importlib
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress

from pytest_gpt_dist.cluster.about import about
from pytest_gpt_dist.cluster.local.client import PRELOAD
from pytest_gpt_dist.cluster.local.fork_server import ForkServer
from pytest_gpt_dist.cluster.rank import reported_imports
from pytest_gpt_dist.cluster.rank_main import rank_main
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.host.linux import end_with_parent

WORKER = "pytest_gpt_dist.cluster.worker"
PRELOADED = ("torch.distributed", WORKER)

_OPENBLAS_THREADS = "OPENBLAS_NUM_THREADS"


def preload() -> None:
    """Import what every rank needs.

    OpenBLAS starts its threads when numpy is imported, and a process with threads must not fork, so it is
    told to have none; the ranks' environment keeps the user's value.
    """
    asked_for = os.environ.get(_OPENBLAS_THREADS)
    os.environ[_OPENBLAS_THREADS] = "1"
    further = os.environ.pop(PRELOAD, "")
    for name in (*PRELOADED, *filter(None, further.split(","))):
        importlib.import_module(name)
    if asked_for is None:
        del os.environ[_OPENBLAS_THREADS]
    else:
        os.environ[_OPENBLAS_THREADS] = asked_for


def main() -> None:
    """Serve the controller that started this process."""
    parser = argparse.ArgumentParser(description="Forks the ranks of pytest-gpt-dist, which starts it.")
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of the connection")
    parser.add_argument("--scratch", required=True, help="folder to remove at the end")
    parser.add_argument("--parent", type=int, help="process to end with")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # while importing; afterwards the loop hears it
    if arguments.parent is not None:
        end_with_parent(arguments.parent, signal.SIGTERM)
    try:
        with suppress(ChannelClosed):
            channel = Channel(socket.socket(fileno=arguments.socket))
            with reported_imports(channel.send):
                preload()
            server = ForkServer(channel, rank_main)
            gc.collect()
            gc.freeze()  # so that a rank's garbage collector does not copy the pages of what was imported
            channel.send({"sys_path": list(sys.path), "about": about()})
            server.serve()
    finally:
        # After an error the controller reads in there what this process said last, and removes it.
        if not isinstance(sys.exception(), Exception):
            shutil.rmtree(arguments.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
