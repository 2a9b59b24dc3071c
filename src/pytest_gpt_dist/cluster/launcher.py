"""Who starts ranks: a seam, and the one who does it on this machine."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_gpt_dist.cluster.allocation import with_kept_memory
from pytest_gpt_dist.cluster.messages import (
    Buried,
    Bury,
    DumpStacks,
    Exited,
    Fork,
    Forked,
    RankSpec,
    Refused,
)
from pytest_gpt_dist.cluster.side import OWN, Side
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, ProtocolError

START_TIMEOUT_S = 120.0
"""How long a new process may take until it answers: importing torch from a cold network disk takes time."""
_SERVER = "pytest_gpt_dist.cluster.server"
_PARENTS = (_SERVER, "pytest_gpt_dist.cluster", "pytest_gpt_dist")
ANSWER_S = 2.0
"""How long a live server may take to answer, the burial of ranks on the CPU included."""


class LaunchError(Exception):
    """Ranks could not be started, or whoever started them is gone."""


class OtherVersionError(LaunchError):
    """Whoever is to start ranks is of another version, ``newer`` if a later one, and does not understand this one."""

    def __init__(self, reason: str, *, newer: bool = False) -> None:
        super().__init__(reason)
        self.newer = newer


class Launcher(Protocol):
    """Starts ranks somewhere, sends them signals, tells of their end and clears up after them."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What it says of itself, in plain values: `cluster.about`."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when `ended` has news."""

    def start(self, spec: RankSpec, control: socket.socket, store: socket.socket | None) -> int:
        """Start a rank that speaks through `control` and return its pid; LaunchError when it cannot be."""

    def ended(self) -> Mapping[int, int]:
        """Return, without waiting, the exit status of every rank that ended by itself; LaunchError if
        unknowable.

        A status below 0 is the signal that killed the rank.
        """

    def dump_stacks(self, pids: Sequence[int]) -> None:
        """Have ranks begin to write their stacks into their files; LaunchError if they cannot be asked."""

    def sys_path(self, controllers: Sequence[str]) -> tuple[str, ...]:
        """Return the sys.path that its ranks are to have, given the controller's."""

    def bury(self, pids: Sequence[int]) -> None:
        """Kill ranks and all that they started, and remove what they left; LaunchError if that fails."""

    def close(self) -> None:
        """End every rank and the launcher itself, within a few seconds."""


class LocalServer:
    """The fork server on this machine, for one side, working directory and environment.

    `scratch` is a new folder that the server owns and removes at its end, with all that is put there.
    """

    def __init__(self, environment: Mapping[str, str], cwd: Path, side: Side = OWN) -> None:
        self._side = side
        self.about: Mapping[str, Any] = {}
        self._own_sys_path: tuple[str, ...] = ()
        self._statuses: dict[int, int] = {}
        self._request = 0
        self.scratch = Path(tempfile.mkdtemp(prefix="gpt-dist-"))
        self._output = self.scratch / "server.log"
        mine, its = map(_beyond_streams, socket.socketpair())
        self._channel = Channel(mine)
        command = [side.python, "-P", "-m", _SERVER]
        command += ["--socket", str(its.fileno()), "--scratch", str(self.scratch)]
        if threading.current_thread() is threading.main_thread():
            # The kernel watches the thread that starts a process; any other one may end before the session
            # does.
            command += ["--parent", str(os.getpid())]
        self._bury_s = ANSWER_S
        try:
            with its, self._output.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=with_kept_memory(side.environment(environment)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[its.fileno()],
                    start_new_session=True,
                )
        except OSError as error:
            self._channel.close()
            shutil.rmtree(self.scratch)
            raise LaunchError(f"{side.python} cannot be started: {error.strerror}") from error
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        try:
            greeting = self._channel.receive(START_TIMEOUT_S).message
        except TimeoutError:
            raise LaunchError(f"the server of the ranks did not start within {START_TIMEOUT_S:g} s") from None
        except ProtocolError as error:
            raise OtherVersionError(str(error), newer=error.newer) from error
        except ChannelClosed:
            if self._is_missing():
                raise OtherVersionError(f"{self._side.python} finds no module {_SERVER}") from None
            raise self._lost() from None
        match greeting:
            case {"sys_path": [*sys_path], "about": dict(about)}:
                self._own_sys_path, self.about = tuple(sys_path), about
            case _:
                raise OtherVersionError(f"the server of the ranks greets with a {type(greeting).__name__}")

    def _is_missing(self) -> bool:
        """Whether the interpreter said that there is no such module as the server, or no package that it is in."""
        said = self._output.read_text(errors="replace") if self._output.exists() else ""
        last = said.strip().rpartition("\n")[2]
        return any(
            f"No module named {quote}{name}{quote}" in last for quote in ("", "'") for name in _PARENTS
        )

    def fileno(self) -> int:
        """The connection's descriptor."""
        return self._channel.fileno()

    def alive(self) -> bool:
        """Return whether the server can start ranks."""
        return self._process.poll() is None and self.fileno() >= 0

    def start(self, spec: RankSpec, control: socket.socket, store: socket.socket | None) -> int:
        """Fork a rank."""
        fds = [control.fileno()] + ([] if store is None else [store.fileno()])
        self._bury_s = max(self._bury_s, spec.death_s + 1)
        answer = self._ask(Fork(spec), fds, START_TIMEOUT_S)
        if not isinstance(answer, Forked):
            raise LaunchError(answer.reason if isinstance(answer, Refused) else f"unexpected {answer!r}")
        return answer.pid

    def ended(self) -> Mapping[int, int]:
        """Read the news of ends and return all there was since the last burials."""
        try:
            frames = self._channel.receive_ready()
        except ChannelClosed:
            raise self._lost() from None
        for frame in frames:
            self._note(frame.message)
        return self._statuses

    def sys_path(self, controllers: Sequence[str]) -> tuple[str, ...]:
        """As the side says."""
        return self._side.sys_path(controllers, self._own_sys_path)

    def dump_stacks(self, pids: Sequence[int]) -> None:
        """Send the ranks the signal for it."""
        try:
            self._channel.send(DumpStacks(tuple(pids)), timeout_s=ANSWER_S)
        except (ChannelClosed, TimeoutError):
            raise self._lost() from None

    def bury(self, pids: Sequence[int]) -> None:
        """Have the server end them and wait until it has."""
        answer = self._ask(Bury(tuple(pids)), (), self._bury_s)
        for pid in pids:
            self._statuses.pop(pid, None)
        if not isinstance(answer, Buried):
            raise LaunchError(answer.reason if isinstance(answer, Refused) else f"unexpected {answer!r}")

    def close(self) -> None:
        """End the server, and with it its ranks; remove the scratch folder."""
        self._channel.close()
        self._process.terminate()  # it buries its ranks and ends; still importing, it ends at once
        try:
            self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its ranks end with it: the kernel sees to that
            self._process.wait(ANSWER_S)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _ask(self, message: object, fds: Sequence[int], timeout_s: float) -> object:
        """Send a request and wait for its answer, noting what else comes in between."""
        self._request += 1
        deadline = time.monotonic() + timeout_s
        try:
            self._channel.send(message, self._request, fds, timeout_s)
            while True:
                frame = self._channel.receive(max(0.001, deadline - time.monotonic()))
                if frame.request == self._request:
                    return frame.message
                self._note(frame.message)
        except TimeoutError:
            raise LaunchError(f"the server of the ranks did not answer within {timeout_s:g} s") from None
        except ChannelClosed:
            raise self._lost() from None

    def _note(self, message: object) -> None:
        if isinstance(message, Exited):
            self._statuses[message.pid] = message.status

    def _lost(self) -> LaunchError:
        try:
            status = self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            return LaunchError("the server of the ranks closed its connection")
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        output = self._output.read_text(errors="replace").strip() if self._output.exists() else ""
        said = f"; it said:\n{output[-4000:]}" if output else ""
        return LaunchError(f"the server of the ranks ended with {how}{said}")


def _beyond_streams(own: socket.socket) -> socket.socket:
    """The same socket under a number that no standard stream has: a new process has others there.

    Where one of this process's own is closed, a socket would take its number.
    """
    with own:
        return socket.socket(fileno=fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 3))
