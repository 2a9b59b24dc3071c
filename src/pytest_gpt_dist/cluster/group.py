"""A live group of ranks as the controller sees it: start it, run functions on it, end or bury it."""

import logging
import pickle
import select
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.cores import Cores, own_cores
from pytest_gpt_dist.cluster.failure import (
    Died,
    Finished,
    HungUp,
    Kind,
    Outcome,
    RankGroupError,
    RankReport,
    Silent,
    Unfinished,
    group_failure,
)
from pytest_gpt_dist.cluster.launcher import START_TIMEOUT_S, Launcher, LaunchError
from pytest_gpt_dist.cluster.linux import out_of_memory_kills, process_state
from pytest_gpt_dist.cluster.messages import START, Call, Leave, RankSpec, Ready, Returned
from pytest_gpt_dist.cluster.parcel import pack_call
from pytest_gpt_dist.cluster.rank import RankInfo
from pytest_gpt_dist.cluster.watch import OnProgress, RankProcess, Watch
from pytest_gpt_dist.cluster.wire import Channel, ChannelClosed
from pytest_gpt_dist.errors import UsageError

_log = logging.getLogger(__name__)

STACKS_S = 0.8
"""How long ranks get to write down their stacks."""
LEAVE_S = 2.0
"""How long a rank that is asked to leave gets."""
COLLECTIVE_MARGIN_S = 60.0
"""How much longer than the controller's patience a collective waits, so that the controller speaks first."""
TAIL_BYTES = 4000


class RankGroup:
    """`world_size` processes joined in one process group; Cluster.group makes it.

    `infos` are the ranks' own accounts of what they are, by rank; `about` is that of whoever started them, as
    `cluster.about` makes it; `alive` is False once the group is buried.
    """

    def __init__(self, launcher: Launcher, config: ClusterConfig, world_size: int, scratch: Path) -> None:
        self.world_size = world_size
        self.alive = True
        self.about = launcher.about
        self._launcher = launcher
        self._config = config
        self._keeps_logs = config.log_dir is not None
        self._folder = _new_folder(config.log_dir or scratch, world_size)
        self._ranks: list[RankProcess] = []
        self._request = START
        self._oom_kills = out_of_memory_kills()
        began_s = time.monotonic()
        with self._buried_on_error("start"):
            self._start()
            watch = Watch(self._ranks, launcher, START, max(START_TIMEOUT_S, config.timeout_s))
            watch.wait()
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
        timeout: the group is then buried, and the cluster starts another when asked. Ctrl-C buries the
        group as well.
        """
        if not self.alive:
            raise RuntimeError("this group of ranks is buried: ask the cluster for another")
        parcel = pack_call(fn, args)
        sys_path = self._launcher.sys_path(sys.path)
        call = pickle.dumps(Call(sys_path, parcel), pickle.HIGHEST_PROTOCOL)
        self._request += 1
        self._oom_kills = out_of_memory_kills()
        with self._buried_on_error("death"):
            watch = Watch(self._ranks, self._launcher, self._request, self._config.timeout_s, on_progress)
            for rank in self._ranks:
                with suppress(ChannelClosed, TimeoutError):  # its end, or its silence, is noticed below
                    rank.channel.send_pickled(call, self._request, timeout_s=watch.remaining_s())
            watch.wait()
            if not watch.complete:
                _raise_usage(watch)
                raise self._failure(watch, where)
        return [_unpack(rank, watch.answers[rank]) for rank in range(self.world_size)]

    def lost(self) -> bool:
        """Return whether a rank, or whoever started it, ended since the last call."""
        try:
            return any(pid in self._launcher.ended() for pid in self.pids)
        except LaunchError:
            return True

    def leave(self) -> None:
        """Have every rank leave the process group and end; bury what has not done so after a short while."""
        if not self.alive:
            return
        _log.info("group of %d is to leave: processes %s", self.world_size, self.pids)
        for rank in self._ranks:
            with suppress(ChannelClosed, TimeoutError):
                rank.channel.send(Leave(), timeout_s=LEAVE_S)
        with suppress(LaunchError):
            self._wait_for_ends(LEAVE_S)
        self.bury()

    def bury(self) -> None:
        """Kill every rank and all that it started, and clear up after them; does nothing the second time."""
        if not self.alive:
            return
        self.alive = False
        try:
            self._launcher.bury(self.pids)
        except LaunchError:
            self._launcher.close()  # the ranks end with whoever started them
        finally:
            # After the burial: a rank ends by itself when its line is closed, and then nobody can see any more
            # what it has in shared memory.
            for rank in self._ranks:
                rank.channel.close()
        if not self._keeps_logs:
            shutil.rmtree(self._folder, ignore_errors=True)
        for rank in self._ranks:
            _remove_if_empty(rank.stack)

    def _start(self) -> None:
        cores = own_cores()
        with socket.create_server(("127.0.0.1", 0), backlog=max(128, self.world_size)) as store:
            port = store.getsockname()[1]
            for rank in range(self.world_size):
                spec = self._spec(rank, cores, port)
                mine, its = socket.socketpair()
                channel = Channel(mine)
                try:
                    with its:
                        pid = self._launcher.start(spec, its, store if rank == 0 else None)
                except BaseException:
                    channel.close()
                    raise
                self._ranks.append(RankProcess(rank, pid, channel, Path(spec.log), Path(spec.stack)))

    def _spec(self, rank: int, cores: Cores, store_port: int) -> RankSpec:
        config = self._config
        on_cpu = config.device == "cpu"
        return RankSpec(
            rank=rank,
            world_size=self.world_size,
            device=config.device,
            backend=config.backend,
            share_gpu=config.share_gpu,
            threads=config.threads_per_rank,
            cpus=cores.of_rank(rank, config.threads_per_rank) if on_cpu and config.pin_cpus else (),
            oversubscribed=on_cpu and cores.oversubscribed(self.world_size, config.threads_per_rank),
            memory_limit_bytes=config.memory_limit_bytes,
            collective_timeout_s=max(START_TIMEOUT_S, config.timeout_s) + COLLECTIVE_MARGIN_S,
            store_port=store_port,
            log=str(self._folder / f"rank{rank}.log"),
            log_level=config.log_level,
            stack=str(self._folder / f"rank{rank}.stack"),
        )

    @contextmanager
    def _buried_on_error(self, kind: Kind) -> Iterator[None]:
        try:
            yield
        except LaunchError as error:
            self._bury_after(error)
            raise RankGroupError(kind, (), f"{self.world_size} ranks: {error}") from error
        except BaseException as error:
            self._bury_after(error)
            raise

    def _bury_after(self, error: BaseException) -> None:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        _log.info("group of %d is buried: processes %s, %s", self.world_size, self.pids, why)
        self.bury()

    def _failure(
        self, watch: Watch, where: Callable[[int], str] | None, starting: bool = False
    ) -> RankGroupError:
        """Learn what there is to learn of a failed group, bury it, and return the error that tells."""
        at_work = [rank for rank in self._ranks if _is_at_work(rank.rank, watch)]
        processes = {rank.rank: process_state(rank.pid) for rank in at_work}
        self._launcher.dump_stacks([rank.pid for rank in at_work])
        _wait_for_stacks([rank.stack for rank in at_work], STACKS_S)
        struck = out_of_memory_kills() > self._oom_kills
        self._keeps_logs = True
        self.bury()
        if self._config.log_dir is None:
            self._folder = _keep(self._folder)
        reports = [
            RankReport(
                rank=rank.rank,
                pid=rank.pid,
                outcome=_outcome(rank.rank, watch, struck),
                where="" if where is None else where(rank.rank),
                process=processes.get(rank.rank, ""),
                progress=watch.progress.get(rank.rank),
                stack=_tail(self._folder / rank.stack.name),
                output=_tail(self._folder / rank.log.name),
            )
            for rank in self._ranks
        ]
        return group_failure(
            reports,
            watch.failed,
            starting=starting,
            memory_limit_bytes=self._config.memory_limit_bytes,
            logs=str(self._folder),
        )

    def _wait_for_ends(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        news = select.poll()
        news.register(self._launcher, select.POLLIN)
        while not set(self.pids) <= self._launcher.ended().keys():
            if not news.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                return


def _raise_usage(watch: Watch) -> None:
    """What a rank found wrong in what the user asked for is said as that, not as a failure of ranks."""
    for rank in watch.failed:
        if rank in watch.raised and (usage := watch.raised[rank].usage) is not None:
            raise UsageError(usage)


def _is_at_work(rank: int, watch: Watch) -> bool:
    return rank not in watch.answers and rank not in watch.failed


def _outcome(rank: int, watch: Watch, oom_killer_struck: bool) -> Outcome:
    if rank in watch.raised:
        return watch.raised[rank]
    if rank in watch.died:
        return Died(watch.died[rank], oom_killer_struck)
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


def _new_folder(parent: Path, world_size: int) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{world_size}ranks-", dir=parent))
    except OSError as error:
        raise UsageError(f"{parent}: the output of ranks cannot be kept there ({error.strerror})") from None


def _remove_if_empty(file: Path) -> None:
    with suppress(OSError):
        if file.stat().st_size == 0:
            file.unlink()


def _keep(folder: Path) -> Path:
    """Move a folder out of the scratch space, which will be removed."""
    kept = Path(tempfile.mkdtemp(prefix="gpt-dist-failed-"))
    return Path(shutil.move(folder, kept))


def _tail(path: Path) -> str:
    """Return the end of a text file, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _wait_for_stacks(paths: Sequence[Path], timeout_s: float) -> None:
    """Wait until every file has content and has stopped growing; a stopped rank never writes any."""
    deadline_s = time.monotonic() + timeout_s
    before: list[int] = []
    while time.monotonic() < deadline_s:
        sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
        if sizes == before and all(sizes):
            return
        before = sizes
        time.sleep(0.05)
