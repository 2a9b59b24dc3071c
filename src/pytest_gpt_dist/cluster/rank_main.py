"""A rank's process from its start: it takes its files, connects to the controller and becomes a worker.

Forked by a server of ours, it begins at `rank_main`. Any other launcher starts a program of its own, `python -m
pytest_gpt_dist.cluster.rank_main [FILE]`, which reads the rank's specification, as `RankSpec.to_json` writes it, from a
file or from standard input.
"""

import faulthandler
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pytest_gpt_dist.cluster.connect import connect
from pytest_gpt_dist.cluster.messages import STACK_SIGNAL, START, RankSpec
from pytest_gpt_dist.cluster.rank import reported_imports
from pytest_gpt_dist.cluster.wire import ChannelClosed
from pytest_gpt_dist.host.linux import end_with_parent, go_first_when_out_of_memory

RankMain = Callable[[RankSpec, int, socket.socket | None], NoReturn]
"""Become the rank of a specification, in a child of a process, with the listening socket of the store that it hosts."""


def rank_main(spec: RankSpec, parent: int, store: socket.socket | None = None) -> NoReturn:
    """Be a rank, in a process just started by process `parent`; never returns.

    `store` is the listening socket of the group's store, where the rank hosts that and its parent opened it.
    """
    status = 1
    try:
        with suppress(PermissionError):  # it leads a session, and so a group, already
            os.setpgid(0, 0)
        end_with_parent(parent, signal.SIGKILL)
        go_first_when_out_of_memory()
        _redirect(spec)
        _write_log(spec)
        channel = connect(spec.controller, spec.rank, spec.collective_timeout_s)
        if store is None:
            store = listen_for_ranks(spec)
        with reported_imports(lambda progress: channel.send(progress, START)):
            # Not before: it imports torch, unless a server has done so, and the controller is to hear of that.
            from pytest_gpt_dist.cluster.worker import serve  # noqa: PLC0415
        serve(spec, channel, store)
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


def listen_for_ranks(spec: RankSpec) -> socket.socket | None:
    """Open the port at which ranks meet, if this one hosts their store.

    The controller holds that port without listening; as both say SO_REUSEADDR, this one may have it as well.
    """
    if not spec.hosts_the_store:
        return None
    address = (spec.rendezvous.host, spec.rendezvous.port)
    return socket.create_server(address, backlog=max(128, spec.world_size))


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


def main() -> NoReturn:
    """Be the rank whose specification stands in the file that is named, or on standard input."""
    text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else sys.stdin.read()
    rank_main(RankSpec.from_json(text), os.getppid())


if __name__ == "__main__":
    main()
