"""A member of torchrun's world: `torchrun … -m pytest_gpt_dist.cluster.torchrun --control HOST:PORT`.

It connects to pytest's control address, again and again until a time is over, and then forks the ranks that it is
asked for. When the session has no more work, it waits a while for another one, and ends.
"""

import argparse
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pytest_gpt_dist.cluster.connect import dial
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.handshake import Identity, RefusedError
from pytest_gpt_dist.cluster.local.__main__ import preload
from pytest_gpt_dist.cluster.local.fork_server import End, ForkServer
from pytest_gpt_dist.cluster.messages import RankSpec, Refused
from pytest_gpt_dist.cluster.rank_main import rank_main
from pytest_gpt_dist.cluster.secret import read_secret
from pytest_gpt_dist.cluster.torchrun.hello import own_hello
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.config.address import parse_address
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.linux import end_with_parent

TRY_AGAIN_S = 0.5
CONNECT_S = 3.0
_REFUSALS = 3
"""How often a member believes that it was refused by accident: a session may end while a member joins it."""


class Member:
    """A process that torchrun started, as long as it lives."""

    def __init__(self, control: tuple[str, int], timeout_s: float, next_s: float, scratch: Path) -> None:
        self._host, self._port = control
        self._timeout_s = timeout_s
        self._next_s = next_s
        self._scratch = scratch
        self._secret = read_secret()
        self._hello = own_hello()
        self._forked = 0

    def run(self) -> int:
        """Serve sessions until none comes any more; the exit status."""
        wait_s, served = self._timeout_s, False
        while True:
            try:
                channel = self._connected(Deadline.after(wait_s))
            except (OSError, ChannelClosed) as error:
                if served:
                    return 0
                print(
                    f"gpt-dist: no session at {self._host}:{self._port} within {wait_s:g} s ({error})",
                    file=sys.stderr,
                )
                return 1
            match self._serve(channel):
                case "terminated":
                    return 128 + signal.SIGTERM
                case "left":
                    wait_s, served = self._next_s, True
                case "lost":
                    wait_s, served = self._timeout_s, False

    def _connected(self, deadline: Deadline) -> Channel:
        """Return the line to a session; OSError or ChannelClosed when none came in time."""
        identity, refusals = Identity(self._hello.rank), 0
        while True:
            try:
                return dial(self._host, self._port, self._secret, identity, min(CONNECT_S, self._timeout_s))
            except RefusedError as error:
                refusals += 1
                if refusals == _REFUSALS:
                    raise UsageError(f"{self._host}:{self._port}: {error}") from None
            except (OSError, ChannelClosed):
                if not deadline.left_s():
                    raise
            time.sleep(min(TRY_AGAIN_S, self._timeout_s))

    def _serve(self, channel: Channel) -> End:
        try:
            channel.send(self._hello.to_json())
            welcome = channel.receive(self._timeout_s).message
        except (ChannelClosed, TimeoutError):
            channel.close()
            return "lost"
        if isinstance(welcome, Refused):
            channel.close()
            raise UsageError(f"{self._host}:{self._port}: {welcome.reason}")
        server = ForkServer(channel, rank_main, self._placed)
        try:
            return server.serve()
        finally:
            server.close()
            signal.signal(signal.SIGTERM, _end)
            for file in self._scratch.iterdir():
                file.unlink()

    def _placed(self, spec: RankSpec) -> RankSpec:
        """Return a specification with files on this machine, and a controller whose name this machine knows."""
        self._forked += 1
        file = str(self._scratch / f"{self._forked}-rank{spec.rank}")
        controller = replace(spec.controller, host=self._host, port=self._port)
        return replace(spec, log=f"{file}.log", stack=f"{file}.stack", controller=controller)


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a member; 4 for wrong usage, 1 when no session came."""
    given = _parsed(arguments)
    signal.signal(signal.SIGTERM, _end)
    with suppress(ProcessLookupError):
        end_with_parent(os.getppid(), signal.SIGTERM)
    scratch = Path(tempfile.mkdtemp(prefix="gpt-dist-member-"))
    try:
        member = Member(given.control, given.timeout, given.next, scratch)
        preload()
        gc.collect()
        gc.freeze()  # so that a rank's garbage collector does not copy the pages of what was imported
        return member.run()
    except UsageError as error:
        print(f"gpt-dist: {error}", file=sys.stderr)
        return 4
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _end(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="torchrun … -m pytest_gpt_dist.cluster.torchrun", description="Serves pytest with ranks."
    )
    parser.add_argument(
        "--control", required=True, type=_address, metavar="HOST:PORT", help="pytest's --gpt-rendezvous"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="S",
        help="how long to try to reach a session (default: 300)",
    )
    parser.add_argument(
        "--next",
        type=float,
        default=30.0,
        metavar="S",
        help="how long to wait for another one after it (default: 30)",
    )
    return parser.parse_args(arguments)


def _address(text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
