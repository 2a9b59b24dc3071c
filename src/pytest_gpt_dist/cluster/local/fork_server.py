"""What the server does: it forks, signals, reaps and kills ranks, in one thread and one loop."""

import importlib
import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Literal

from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.messages import (
    STACK_SIGNAL,
    DumpStacks,
    Exited,
    Fork,
    Forked,
    Kill,
    Killed,
    Leave,
    Output,
    Preload,
    Preloaded,
    RankSpec,
    ReadOutput,
    Refused,
    Sees,
    SeesFile,
)
from pytest_gpt_dist.cluster.rank_main import RankMain, listen_for_ranks
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed, Frame
from pytest_gpt_dist.host.linux import living_members, mapped_shared_memory, thread_names

End = Literal["lost", "left", "terminated"]
"""Why a server ends: its controller went away, had no more work for it, or somebody sent SIGTERM."""
TERMINATE_S = 0.3
"""How long a rank has between SIGTERM and SIGKILL."""
LOOK_AGAIN_S = 0.01
AT_THE_END_S = 1.2
"""How long killed ranks get to be gone when the controller is."""


class ForkServer:
    """Serves one controller; each rank is a child of this process.

    `placed` gives the specification by which a rank is forked, where this process knows better than the controller.
    """

    def __init__(
        self,
        channel: Channel,
        rank_main: RankMain,
        placed: Callable[[RankSpec], RankSpec] = lambda spec: spec,
    ) -> None:
        self._channel = channel
        self._rank_main = rank_main
        self._placed = placed
        self._files: dict[int, tuple[str, str]] = {}
        self._selector = selectors.DefaultSelector()
        # Every rank that was not killed, by pid, with its pidfd. One that ended stays a zombie until it is, so that its
        # pid and its process group name nobody else.
        self._pidfds: dict[int, int] = {}
        self._ended: set[int] = set()
        self._death_s: dict[int, float] = {}
        self._terminated, self._terminate = socket.socketpair()
        self._terminate.setblocking(False)
        signal.set_wakeup_fd(self._terminate.fileno())
        signal.signal(signal.SIGTERM, _leave_it_to_the_loop)
        self._selector.register(self._terminated, selectors.EVENT_READ)
        self._selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> End:
        """Serve until the controller goes away, has no more work, or SIGTERM comes, then kill every rank."""
        try:
            while (end := self._serve_once()) is None:
                pass
            return end
        except ChannelClosed:
            return "lost"
        finally:
            # Nobody waits for what a driver still has to let go of.
            self._kill(tuple(self._pidfds), AT_THE_END_S)

    def close(self) -> None:
        """Free what the server holds; its ranks are gone by then."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._terminated.close()
        self._terminate.close()
        self._channel.close()

    def _serve_once(self) -> End | None:
        for key, _ in self._selector.select():
            if key.fileobj is self._terminated:
                return "terminated"
            if key.fileobj is self._channel:
                for frame in self._channel.receive_ready():
                    if isinstance(frame.message, Leave):
                        return "left"
                    self._answer(frame)
            elif key.data in self._pidfds:  # else killed since select() returned
                self._report_end(key.data)
        return None

    def _answer(self, frame: Frame) -> None:
        match frame.message:
            case Fork(spec=spec):
                self._channel.send(self._fork(spec), frame.request)
            case DumpStacks(pids=pids):
                for pid in self._known(pids):
                    if pid not in self._ended:
                        signal.pidfd_send_signal(self._pidfds[pid], STACK_SIGNAL)
            case Kill(pids=pids):
                left = self._kill(self._known(pids))
                answer = Refused(f"processes {sorted(left)} do not die") if left else Killed()
                self._channel.send(answer, frame.request)
            case Preload(modules=modules):
                for name in modules:
                    with suppress(Exception):  # a rank that needs it says what is wrong with it
                        importlib.import_module(name)
                self._channel.send(Preloaded(), frame.request)
            case SeesFile(path=path):
                self._channel.send(Sees(os.path.exists(path)), frame.request)
            case ReadOutput(pid=pid, most_bytes=most_bytes):
                self._channel.send(self._output(pid, most_bytes), frame.request)
            case message:
                self._channel.send(Refused(f"a server does not know {type(message).__name__}"), frame.request)

    def _output(self, pid: int, most_bytes: int) -> Output:
        log, stack = (_end_of(file, most_bytes) for file in self._files.get(pid, ("", "")))
        return Output(log, stack)

    def _known(self, pids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(pid for pid in pids if pid in self._pidfds)

    def _fork(self, spec: RankSpec) -> Forked | Refused:
        spec = self._placed(spec)
        names = thread_names()
        if len(names) > 1:
            return Refused(
                f"importing torch started threads ({', '.join(sorted(names))}), and a "
                "process with threads cannot be forked safely: look in .pth files, sitecustomize and the "
                "environment for what starts them"
            )
        try:
            # Before the fork, so that whoever is forked later finds it: torch waits a second after a refusal.
            store = listen_for_ranks(spec)
        except OSError as error:
            where = f"{spec.rendezvous.host}:{spec.rendezvous.port}"
            return Refused(f"ranks cannot meet at {where}: {error.strerror}")
        parent = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    self._forget()
                    self._rank_main(spec, parent, store)
                finally:
                    os._exit(1)  # never into the server's own loop, whatever happened
        except OSError as error:
            return Refused(f"no process could be forked: {error.strerror}")
        finally:
            if store is not None:
                store.close()
        # The child does the same: whoever is first, the group exists before anybody signals it.
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Refused(f"no process could be watched: {error.strerror}")
        self._pidfds[pid] = pidfd
        self._files[pid] = (spec.log, spec.stack)
        self._death_s[pid] = spec.death_s
        self._selector.register(pidfd, selectors.EVENT_READ, pid)
        return Forked(pid)

    def _forget(self) -> None:
        """Let go, in a new rank, of what belongs to the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._terminated.close()
        self._terminate.close()
        self._selector.close()
        self._channel.close()
        for pidfd in self._pidfds.values():
            os.close(pidfd)

    def _report_end(self, pid: int) -> None:
        pidfd = self._pidfds[pid]
        self._selector.unregister(pidfd)
        self._ended.add(pid)
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        assert result is not None
        exited = result.si_code == os.CLD_EXITED
        # What the rank had started may tidy up after it: Python's resource tracker removes shared memory.
        os.killpg(pid, signal.SIGTERM)
        self._channel.send(Exited(pid, result.si_status if exited else -result.si_status))

    def _kill(self, pids: tuple[int, ...], most_s: float = math.inf) -> set[int]:
        """End ranks and all that they started, remove their shared memory; return what does not die."""
        shared_memory = {path for pid in pids for path in mapped_shared_memory(pid)}
        death_s = min(most_s, max((self._death_s[pid] for pid in pids), default=0.0))
        for signum, patience_s in ((signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, death_s)):
            for pid in pids:
                os.killpg(pid, signum)
            deadline = Deadline.after(patience_s)
            while (left := self._left(pids)) and deadline.left_s():
                time.sleep(LOOK_AGAIN_S)
        for pid in pids:
            if pid not in left:
                self._reap(pid)
        for path in shared_memory:
            with suppress(FileNotFoundError):
                os.unlink(path)
        return left

    def _left(self, pids: tuple[int, ...]) -> set[int]:
        """Return what lives of ranks and what they started; a zombie counts while a driver holds a thread of it."""
        over = os.WEXITED | os.WNOWAIT | os.WNOHANG
        held = {pid for pid in pids if os.waitid(os.P_PIDFD, self._pidfds[pid], over) is None}
        return living_members(pids) | held

    def _reap(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        del self._death_s[pid]
        del self._files[pid]
        if pid in self._ended:
            self._ended.remove(pid)
        else:
            self._selector.unregister(pidfd)
        os.waitpid(pid, 0)
        os.close(pidfd)


def _end_of(file: str, most_bytes: int) -> bytes:
    """Return the last bytes of a file, none where it cannot be read."""
    try:
        with open(file, "rb") as opened:
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - most_bytes))
            return opened.read(most_bytes)
    except OSError:
        return b""


def _leave_it_to_the_loop(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the loop reads from the wake-up socket that the signal came."""
