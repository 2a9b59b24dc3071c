"""The controller's end of the fork server on this machine."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.code_version import OWN, Side
from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.connect import Listener
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.failure import killed_for_memory
from pytest_gpt_dist.cluster.launcher import LaunchError, OtherVersionError, Place, RefusalError
from pytest_gpt_dist.cluster.local.malloc import with_kept_memory
from pytest_gpt_dist.cluster.messages import (
    DumpStacks,
    Exited,
    Fork,
    Forked,
    Kill,
    Killed,
    RankSpec,
    Refused,
)
from pytest_gpt_dist.cluster.output import tail
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, ProtocolError
from pytest_gpt_dist.host.cgroups import memory_limit_bytes
from pytest_gpt_dist.host.linux import out_of_memory_kills, process_state

PRELOAD = "GPT_DIST_PRELOAD"
"""Tells the server what to import besides what every rank needs; one of another revision does not look."""
_SERVER = "pytest_gpt_dist.cluster.server"
_PARENTS = (_SERVER, "pytest_gpt_dist.cluster", "pytest_gpt_dist")
ANSWER_S = 2.0
"""How long a live server may take to kill ranks on the CPU, or to end, unless the timeout is shorter."""
_SHORTEST_S = 0.001


def local_server(environment: Mapping[str, str], cwd: Path, config: ClusterConfig) -> "LocalServer":
    """Start the server of a cluster's side in an environment and a working directory; LaunchError if it fails."""
    environment = {**environment, PRELOAD: ",".join(config.preload)} if config.preload else environment
    return LocalServer(environment, cwd, config.side, timeout_s=config.timeout_s)


class LocalServer:
    """The fork server on this machine, for one side, working directory and environment.

    `scratch` is a new folder that the server owns and removes at its end, with all that is put there. The server may
    be silent for `timeout_s`: what it imports at its start is no silence.
    """

    is_here = True

    def __init__(
        self, environment: Mapping[str, str], cwd: Path, side: Side = OWN, *, timeout_s: float
    ) -> None:
        self._side = side
        self._timeout_s = timeout_s
        self.about: Mapping[str, Any] = {}
        self._own_sys_path: tuple[str, ...] = ()
        self._statuses: dict[int, int] = {}
        self._request = 0
        self._kill_s = ANSWER_S
        self._oom_kills = out_of_memory_kills()
        with ExitStack() as undo:
            try:
                self.scratch = Path(tempfile.mkdtemp(prefix="gpt-dist-"))
                undo.callback(shutil.rmtree, self.scratch, ignore_errors=True)
                self._output = self.scratch / "server.log"
                mine, its = map(_beyond_streams, socket.socketpair())
                self._channel = Channel(mine)
                undo.callback(self._channel.close)
                with its:
                    self._process = self._begin(its, environment, cwd)
            except OSError as error:
                raise LaunchError(f"{side.python} cannot be started: {error.strerror or error}") from error
            undo.callback(self.close)
            self._greet()
            undo.pop_all()

    def _begin(
        self, its: socket.socket, environment: Mapping[str, str], cwd: Path
    ) -> "subprocess.Popen[bytes]":
        command = [self._side.python, "-P", "-m", _SERVER]
        command += ["--socket", str(its.fileno()), "--scratch", str(self.scratch)]
        if threading.current_thread() is threading.main_thread():
            # The kernel watches the thread that starts a process; any other one may end before the session
            # does.
            command += ["--parent", str(os.getpid())]
        with self._output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=cwd,
                env=with_kept_memory(self._side.environment(environment)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )

    def _greet(self) -> None:
        try:
            while isinstance(greeting := self._channel.receive(self._timeout_s).message, Progress):
                pass
        except TimeoutError:
            raise self._silent(self._timeout_s) from None
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
        """Return the connection's descriptor."""
        if (descriptor := self._channel.fileno()) < 0:
            raise LaunchError("the server of the ranks is closed")
        return descriptor

    def alive(self) -> bool:
        """Return whether the server can start ranks."""
        return self._process.poll() is None and self._channel.fileno() >= 0

    def listen(self, world_size: int) -> Listener:
        """Listen at a Unix socket in the scratch folder."""
        return Listener(world_size, self.scratch, None)

    def start(self, spec: RankSpec) -> int:
        """Fork a rank."""
        self._kill_s = max(self._kill_s, spec.death_s + 1)
        answer = self._ask(Fork(spec), self._timeout_s)
        if not isinstance(answer, Forked):
            raise RefusalError(answer.reason if isinstance(answer, Refused) else f"unexpected {answer!r}")
        return answer.pid

    def ended(self) -> Mapping[int, int]:
        """Read the news of ends and return all there was of ranks that were not killed since."""
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
            self._channel.send(DumpStacks(tuple(pids)), timeout_s=self._grace_s(ANSWER_S))
        except TimeoutError:
            raise self._silent(self._grace_s(ANSWER_S)) from None
        except ChannelClosed:
            raise self._lost() from None

    def bring_output(self, files: Mapping[int, tuple[Path, Path]]) -> None:
        """Do nothing: ranks write there themselves."""

    def place(self, pid: int) -> Place:
        """Return this machine."""
        return Place("", pid)

    def state(self, pid: int) -> str:
        """Return what the kernel says of it."""
        return process_state(pid)

    def kill(self, pids: Sequence[int]) -> None:
        """Have the server end them and wait until it has."""
        answer = self._ask(Kill(tuple(pids)), self._grace_s(self._kill_s))
        for pid in pids:
            self._statuses.pop(pid, None)
        if not isinstance(answer, Killed):
            raise RefusalError(answer.reason if isinstance(answer, Refused) else f"unexpected {answer!r}")

    def close(self) -> None:
        """End the server, and with it its ranks; remove the scratch folder."""
        self._channel.close()
        self._process.terminate()  # it kills its ranks and ends; still importing, it ends at once
        grace_s = self._grace_s(ANSWER_S)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its ranks end with it: the kernel sees to that
            with suppress(subprocess.TimeoutExpired):  # a disk or a driver holds it, and nobody can do more
                self._process.wait(grace_s)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _grace_s(self, most_s: float) -> float:
        return min(most_s, self._timeout_s)

    def _ask(self, message: object, timeout_s: float) -> object:
        """Send a request and wait for its answer, noting what else comes in between."""
        self._request += 1
        self._oom_kills = out_of_memory_kills()
        deadline = Deadline.after(timeout_s)
        try:
            self._channel.send(message, self._request, timeout_s)
            while True:
                frame = self._channel.receive(max(_SHORTEST_S, deadline.left_s()))
                if frame.request == self._request:
                    return frame.message
                self._note(frame.message)
        except TimeoutError:
            raise self._silent(timeout_s) from None
        except ChannelClosed:
            raise self._lost() from None

    def _note(self, message: object) -> None:
        if isinstance(message, Exited):
            self._statuses[message.pid] = message.status

    def _silent(self, silence_s: float) -> LaunchError:
        state = process_state(self._process.pid)
        return LaunchError(f"the server of the ranks was silent for {silence_s:g} s, {state}")

    def _lost(self) -> LaunchError:
        try:
            status = self._process.wait(self._grace_s(ANSWER_S))
        except subprocess.TimeoutExpired:
            return LaunchError("the server of the ranks closed its connection")
        said = tail(self._output)
        if status == -signal.SIGKILL and out_of_memory_kills() > self._oom_kills:
            reason = f"the server of the ranks {killed_for_memory(memory_limit_bytes())}"
            return LaunchError(reason, said, out_of_memory=True)
        if status == 0:  # so it ends when it is asked to, and this side did not ask
            return LaunchError("the server of the ranks was ended by SIGTERM", said)
        how = f"exit status {status}" if status > 0 else signal.Signals(-status).name
        return LaunchError(f"the server of the ranks ended with {how}", said)


def _beyond_streams(own: socket.socket) -> socket.socket:
    """Return the same socket under a number that no standard stream has: a new process has others there.

    Where one of this process's own is closed, a socket would take its number.
    """
    with own:
        return socket.socket(fileno=fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 3))
