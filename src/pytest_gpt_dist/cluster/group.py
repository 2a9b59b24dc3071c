"""A live group of ranks as the controller sees it: start it, run functions on it, end or kill it."""

import logging
import pickle
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.callables import pack_call
from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.connect import ControllerAddress, held_port
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.failure import (
    Died,
    Finished,
    HungUp,
    Kind,
    Lost,
    Outcome,
    RankGroupError,
    RankReport,
    Silent,
    Unfinished,
    and_said,
    could_not_start,
    group_failure,
    less_memory,
)
from pytest_gpt_dist.cluster.launcher import Launcher, LaunchError, RefusalError
from pytest_gpt_dist.cluster.messages import START, Call, Leave, RankSpec, Ready, Rendezvous, Returned
from pytest_gpt_dist.cluster.output import keep, new_folder, remove_if_empty, tail, wait_for_stacks
from pytest_gpt_dist.cluster.rank import RankInfo, meet
from pytest_gpt_dist.cluster.task import Host, Task
from pytest_gpt_dist.cluster.watch import OnProgress, RankProcess, Watch
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.errors import UsageError, counted
from pytest_gpt_dist.host.cgroups import memory_limit_bytes
from pytest_gpt_dist.host.cores import Cores, own_cores
from pytest_gpt_dist.host.linux import out_of_memory_kills
from pytest_gpt_dist.host.preconditions import LOOPBACK, meeting_place, unmet

_log = logging.getLogger(__name__)

STACKS_S = 0.8
"""How long ranks get to write down their stacks, unless the timeout is shorter."""
LEAVE_S = 2.0
"""How long ranks that are asked to leave get, unless the timeout is shorter."""
COLLECTIVE_MARGIN_S = 60.0
"""How much longer than the controller's patience a collective waits, so that the controller speaks first."""


class RankGroup:
    """`world_size` processes joined in one process group; Cluster.group makes it.

    It has `devices`, cores or GPUs, for itself, or any where that is None. `is_here`: its ranks are processes of this
    machine. `infos` are the ranks' own accounts of what they are, by rank; `about` is that of whoever started them, as
    `cluster.about` makes it; `alive` is False once the group has ended.
    """

    def __init__(
        self,
        launcher: Launcher,
        config: ClusterConfig,
        world_size: int,
        devices: tuple[int, ...] | None = None,
    ) -> None:
        self.world_size = world_size
        self._devices = devices
        self.alive = True
        self.about = launcher.about
        self.is_here = launcher.is_here
        self._launcher = launcher
        self._config = config
        self._keeps_logs = config.log_dir is not None
        self._folder = new_folder(config.log_dir or launcher.scratch, world_size)
        self._ranks: list[RankProcess] = []
        self._channels: dict[int, Channel] = {}
        self._task: Task | None = None
        self._launcher_lost: LaunchError | None = None
        self._request = START
        self._oom_kills = out_of_memory_kills()
        began_s = time.monotonic()
        with self._killed_on_error("start"):
            watch = self._start()
            if not watch.complete:
                _raise_usage(watch)
                raise self._failure(watch, where=None, starting=True)
        answers = [watch.answers[rank] for rank in range(world_size)]
        self.infos: tuple[RankInfo, ...] = tuple(ready.info for ready in answers if isinstance(ready, Ready))
        took_s = time.monotonic() - began_s
        _log.info(
            "group of %d started in %.2f s: processes %s, output in %s",
            world_size,
            took_s,
            self.pids,
            self._folder,
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """The ranks' processes, by rank."""
        return tuple(rank.pid for rank in self._ranks)

    def run(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        on_progress: OnProgress | None = None,
        where: Callable[[int], str] | None = None,
    ) -> list[Any]:
        """Run `fn(*args)` on every rank and return the results by rank.

        `on_progress(rank, progress)` hears how far each rank is; `where(rank)` puts its place in the layout
        into failure messages. UsageError, before anything is sent, when the function or an argument cannot
        travel. RankGroupError when a rank raises, dies or is silent for longer than the configuration's
        timeout: the group is then killed, and the cluster starts another when asked. Ctrl-C kills the
        group as well.
        """
        self._check_free()
        call = self._packed(fn, args)
        with self._killed_on_error("death"):
            watch = self._call(call, self._config.timeout_s, on_progress)
            watch.wait()
            return self._settle(watch, where)

    def start(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        on_progress: OnProgress | None = None,
        where: Callable[[int], str] | None = None,
    ) -> Task:
        """Begin to run `fn(stream, *args)` on every rank, which exchanges events with the task that is returned.

        All else is as in `run`. A group runs one task at a time, and nothing else meanwhile.
        """
        self._check_free()
        call = self._packed(fn, args, streams=True)
        with self._killed_on_error("death"):
            watch = self._call(call, self._config.timeout_s, on_progress)
            watch.pause()
        host = Host(
            guarded=lambda: self._killed_on_error("death"),
            settle=lambda watch: self._settle(watch, where),
            alive=lambda: self.alive,
            kill=self.kill,
            is_in_step=self._is_in_step,
            release=self._release,
        )
        self._task = Task(host, watch, self._channels, self._request, self._config.timeout_s)
        return self._task

    def lost(self) -> bool:
        """Return whether a rank, or whoever started it, ended since the last call."""
        try:
            return any(pid in self._launcher.ended() for pid in self.pids)
        except LaunchError:
            return True

    def leave(self) -> None:
        """Have every rank leave the process group and end; kill what has not done so after a short while."""
        if not self.alive:
            return
        _log.info("group of %d is to leave: processes %s", self.world_size, self.pids)
        if self._task is not None:
            self._task.cancel()
        deadline = Deadline.after(LEAVE_S, self._config.timeout_s)
        try:
            for channel in self._channels.values():
                with suppress(ChannelClosed, TimeoutError):
                    channel.send(Leave(), timeout_s=deadline.left_s())
            with suppress(LaunchError):
                self._wait_for_ends(deadline)
                if self._keeps_logs and not self.is_here:
                    self._bring_output()
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill every rank and all that it started, and clear up after them; does nothing the second time."""
        if not self.alive:
            return
        self.alive = False
        try:
            self._launcher.kill(self.pids)
        except LaunchError as error:
            self._launcher_lost = None if isinstance(error, RefusalError) else error
            self._launcher.close()  # the ranks end with whoever started them
        finally:
            # Not before they are killed: a rank ends by itself when its line is closed, and then nobody can see any
            # more what it has in shared memory.
            for channel in self._channels.values():
                channel.close()
        if not self._keeps_logs:
            shutil.rmtree(self._folder, ignore_errors=True)
        for rank in self._ranks:
            remove_if_empty(self._folder / rank.stack.name)

    def _check_free(self) -> None:
        if not self.alive:
            raise RuntimeError("this group of ranks has ended: ask the cluster for another")
        if self._task is not None:
            raise RuntimeError("a task runs on this group of ranks: take its result, or cancel it")

    def _packed(self, fn: Callable[..., Any], args: tuple[Any, ...], *, streams: bool = False) -> bytes:
        """Return the message that calls a function."""
        call = Call(self._launcher.sys_path(sys.path), pack_call(fn, args), streams)
        return pickle.dumps(call, pickle.HIGHEST_PROTOCOL)

    def _call(self, call: bytes, timeout_s: float, on_progress: OnProgress | None = None) -> Watch:
        """Send a call to every rank and return the wait for the answers."""
        self._request += 1
        self._oom_kills = out_of_memory_kills()
        watch = Watch(
            self._ranks, self._channels, self._launcher, self._request, timeout_s, on_progress=on_progress
        )
        for channel in self._channels.values():
            with suppress(ChannelClosed, TimeoutError):  # its end, or its silence, is noticed by the wait
                channel.send_pickled(call, self._request, timeout_s=watch.remaining_s())
        return watch

    def _settle(self, watch: Watch, where: Callable[[int], str] | None) -> list[Any]:
        """Return the results of a wait that is over, or raise what went wrong."""
        if not watch.complete:
            _raise_usage(watch)
            raise self._failure(watch, where)
        return [_unpack(rank, watch.answers[rank]) for rank in range(self.world_size)]

    def _is_in_step(self, most_s: float) -> bool:
        """Return whether the ranks, some of which left a function early, meet in a collective all the same."""
        watch = self._call(self._packed(meet, ()), most_s)
        watch.wait(Deadline.after(most_s))
        return watch.complete

    def _release(self) -> None:
        self._task = None

    def _start(self) -> Watch:
        """Start the ranks and return the wait for their being ready, which is over."""
        cores = own_cores()
        if self._devices is not None and self._config.device == "cpu":
            cores = replace(cores, numbers=self._devices)
        timeout_s = self._config.timeout_s
        meeting = meeting_place(timeout_s=timeout_s)
        if meeting.remedy:
            raise LaunchError("they cannot meet")
        launcher = self._launcher
        with (
            launcher.listen(self.world_size) as listener,
            held_port(LOOPBACK) as port,
        ):
            for rank in range(self.world_size):
                spec = self._spec(rank, cores, listener.address, port)
                pid = launcher.start(spec)
                self._ranks.append(RankProcess(rank, pid, Path(spec.log), Path(spec.stack)))
            watch = Watch(self._ranks, self._channels, launcher, START, timeout_s, listener=listener)
            watch.wait()
        return watch

    def _spec(self, rank: int, cores: Cores, controller: ControllerAddress, port: int) -> RankSpec:
        config = self._config
        on_cpu = config.device == "cpu"
        return RankSpec(
            rank=rank,
            world_size=self.world_size,
            node=0,
            local_rank=rank,
            local_world_size=self.world_size,
            controller=controller,
            rendezvous=Rendezvous(LOOPBACK, port),
            device=config.device,
            backend=config.backend,
            share_gpu=config.share_gpu,
            gpu=self._devices[rank % len(self._devices)] if self._devices and not on_cpu else None,
            threads=config.threads_per_rank,
            cpus=cores.of_rank(rank, config.threads_per_rank) if on_cpu and config.pin_cpus else (),
            oversubscribed=on_cpu and cores.oversubscribed(self.world_size, config.threads_per_rank),
            memory_limit_bytes=config.memory_limit_bytes,
            timeout_s=config.timeout_s,
            collective_timeout_s=config.timeout_s + COLLECTIVE_MARGIN_S,
            log=str(self._folder / f"rank{rank}.log"),
            log_level=config.log_level,
            stack=str(self._folder / f"rank{rank}.stack"),
        )

    @contextmanager
    def _killed_on_error(self, kind: Kind) -> Iterator[None]:
        try:
            yield
        except LaunchError as error:
            raise self._launch_failure(kind, error) from error
        except BaseException as error:
            if kind == "start" and isinstance(error, OSError):  # this side lacks descriptors, or memory
                raise self._launch_failure(kind, LaunchError(error.strerror or str(error))) from error
            self._kill_after(error)
            raise

    def _kill_after(self, error: BaseException) -> None:
        """Kill the group for the sake of an error, which is the one to be told whatever becomes of that."""
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        _log.info("group of %d is killed: processes %s, %s", self.world_size, self.pids, why)
        try:
            self.kill()
        except Exception:
            _log.exception("the group of %d could not be killed", self.world_size)

    def _launch_failure(self, kind: Kind, error: LaunchError) -> RankGroupError:
        """Kill the group of a launcher that failed, and return the error that tells."""
        missing = unmet(self._config.timeout_s) if kind == "start" else []
        logs = self._keep_logs()
        self._kill_after(error)
        if kind == "start":
            summary = could_not_start(self.world_size, error.reason, missing, error.said)
        elif error.out_of_memory:
            kind, advice = "memory", less_memory(self._config.memory_limit_bytes)
            summary = and_said(f"{counted(self.world_size, 'rank')}: {error.reason}; {advice}", error.said)
        else:
            summary = f"{counted(self.world_size, 'rank')}: {error}"
        return RankGroupError(kind, (), summary, logs=logs)

    def _keep_logs(self) -> str:
        """Keep what the ranks printed, beyond the end of whoever started them; return where, "" if there is nothing."""
        if self._keeps_logs:
            return str(self._folder)
        if (kept := keep(self._folder)) is None:
            return ""
        self._keeps_logs, self._folder = True, kept
        return str(kept)

    def _failure(
        self, watch: Watch, where: Callable[[int], str] | None, starting: bool = False
    ) -> RankGroupError:
        """Learn what there is to learn of a failed group, kill it, and return the error that tells."""
        at_work = [rank for rank in self._ranks if _is_at_work(rank.rank, watch)]
        processes = {rank.rank: self._launcher.state(rank.pid) for rank in at_work}
        self._launcher.dump_stacks([rank.pid for rank in at_work])
        deadline = Deadline.after(STACKS_S, self._config.timeout_s)
        if self.is_here:
            wait_for_stacks([rank.stack for rank in at_work], deadline)
        else:
            time.sleep(deadline.left_s())  # nobody here sees their files grow
            watch.note_lost()
            self._bring_output()
        places = {rank.rank: self._launcher.place(rank.pid) for rank in self._ranks}
        struck = out_of_memory_kills() > self._oom_kills
        missing = unmet(self._config.timeout_s) if starting else []
        logs = self._keep_logs()  # before the end, as the scratch space may go with it
        self.kill()
        if self._launcher_lost is not None and watch.failed and watch.hung_up.issuperset(watch.failed):
            raise self._launcher_lost  # their lines are closed because whoever started them has gone
        reports = [
            RankReport(
                rank=rank.rank,
                pid=places[rank.rank].pid,
                machine=places[rank.rank].machine,
                outcome=_outcome(rank.rank, watch, struck),
                where="" if where is None else where(rank.rank),
                process=processes.get(rank.rank, ""),
                progress=watch.progress.get(rank.rank),
                stack=tail(self._folder / rank.stack.name),
                output=tail(self._folder / rank.log.name),
            )
            for rank in self._ranks
        ]
        return group_failure(
            reports,
            watch.failed,
            starting=starting,
            unmet=missing,
            memory_limit_bytes=self._config.memory_limit_bytes,
            logs=logs,
        )

    def _bring_output(self) -> None:
        self._launcher.bring_output({rank.pid: (rank.log, rank.stack) for rank in self._ranks})

    def _wait_for_ends(self, deadline: Deadline) -> None:
        news = select.poll()
        news.register(self._launcher, select.POLLIN)
        while not set(self.pids) <= self._launcher.ended().keys():
            if not news.poll(deadline.left_s() * 1000):
                return


def _raise_usage(watch: Watch) -> None:
    """Raise what a rank found wrong in what the user asked for as that, not as a failure of ranks."""
    for rank in watch.failed:
        if rank in watch.raised and (usage := watch.raised[rank].usage) is not None:
            raise UsageError(usage)


def _is_at_work(rank: int, watch: Watch) -> bool:
    return rank not in watch.answers and rank not in watch.failed


def _outcome(rank: int, watch: Watch, oom_killer_struck: bool) -> Outcome:
    if rank in watch.raised:
        return watch.raised[rank]
    if rank in watch.died:
        if isinstance(how := watch.died[rank], str):
            return Lost(how)
        return Died(how, oom_killer_struck, memory_limit_bytes())
    if rank in watch.failed:
        return HungUp()
    if rank in watch.silent_s:
        return Silent(watch.silent_s[rank])
    return Finished() if rank in watch.answers else Unfinished()


def _unpack(rank: int, answer: object) -> Any:
    assert isinstance(answer, Returned)
    try:
        return pickle.loads(answer.payload)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"what rank {rank} returned cannot be read here: {reason}") from error
