"""Ranks of torchrun's world, as groups start them: members fork them, each on its own machine."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.connect import Arrivals
from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.cluster.launcher import LaunchError, Place, RefusalError
from pytest_gpt_dist.cluster.messages import (
    DumpStacks,
    Fork,
    Forked,
    Kill,
    Killed,
    Output,
    Preload,
    RankSpec,
    ReadOutput,
    Refused,
    Rendezvous,
    Sees,
    SeesFile,
)
from pytest_gpt_dist.cluster.secret import read_secret
from pytest_gpt_dist.cluster.torchrun.control import ControlPort
from pytest_gpt_dist.cluster.torchrun.member import Member
from pytest_gpt_dist.host.world import World

_log = logging.getLogger(__name__)
ANSWER_S = 4.0
"""How long a live member may take to kill ranks on the CPU, unless the timeout is shorter."""
_OUTPUT_S = 2.0
_MOST_OUTPUT_BYTES = 1 << 20


class TorchrunWorld:
    """The members that torchrun keeps up, for one session; it owns the control port.

    ``whole`` waits for them: those that come first wait for pytest, and pytest for those that come last.
    """

    def __init__(self, control: ControlPort, timeout_s: float) -> None:
        self.control = control
        self._timeout_s = timeout_s
        self._shared: set[str] = set()

    def whole(self, timeout_s: float | None = None) -> str | None:
        """Wait until every member is there; why they are not, in a line, when time is up."""
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        with self.control.waiting() as waiter:
            if waiter.until(lambda: not self._lacking(), Deadline.after(wait_s)):
                return None
        lacking = self._lacking()
        return f"{lacking} after {wait_s:g} s at {self.control.host}:{self.control.port}"

    @property
    def world(self) -> World:
        """The machines of a world that is whole."""
        members = self.members
        hellos = [member.hello for member in members if member.hello is not None]
        return World(tuple(member.slot for member in members), hellos[0].nccl_variables)

    @property
    def members(self) -> list[Member]:
        """The members, by rank."""
        return [member for _, member in sorted(self.control.members.items())]

    def shared_folder(self, folder: Path) -> None:
        """Raise LaunchError where a machine does not see what this one puts into a folder for ranks to read."""
        if str(folder) in self._shared:
            return
        first = {member.slot.machine: member for member in reversed(self.members)}
        asked = list(first.values())
        with tempfile.NamedTemporaryFile(prefix="gpt-dist-seen-", dir=folder) as file:
            answers = self.control.ask(asked, [SeesFile(file.name)] * len(asked), self._timeout_s)
        for member, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Sees) and not answer.found:
                raise LaunchError(
                    f"{member.name} does not see {folder}, where references are kept; set TMPDIR, for pytest, to a"
                    " folder that all machines share"
                )
        self._shared.add(str(folder))

    def close(self) -> None:
        """Let the members go."""
        self.control.close()

    def _lacking(self) -> str:
        """Return what the world still lacks; "" of a whole one."""
        there = self.control.members
        hellos = [member.hello for member in there.values() if member.hello is not None]
        if not hellos:
            return "no rank of torchrun has come"
        sizes = {hello.world_size for hello in hellos}
        if len(sizes) > 1:
            return f"ranks of worlds of {' and '.join(map(str, sorted(sizes)))} have come"
        (size,) = sizes
        if len(hellos) == size:
            return ""
        complete = {hello.machine: hello.local_world_size for hello in hellos}
        counts = {machine: sum(each.machine == machine for each in hellos) for machine in complete}
        short = [
            f"machine {machine} has {counts[machine]} of {room}"
            for machine, room in sorted(complete.items())
            if counts[machine] < room
        ]
        come = f"{len(hellos)} of {size} ranks of torchrun have come"
        return f"{come}: {', '.join(short)}" if short else f"{come}, those of {len(complete)} machines"


@dataclass(frozen=True)
class _Started:
    member: Member
    pid: int
    death_s: float


class TorchrunLauncher:
    """Starts the ranks of a cluster on the members of a world, which outlives it."""

    is_here = False

    def __init__(self, world: TorchrunWorld, config: ClusterConfig) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="gpt-dist-"))
        self._world = world
        self._config = config
        self._started: dict[int, _Started] = {}
        self._number = 0
        self._closed = False
        self._placed: tuple[Member, ...] = ()

    @property
    def about(self) -> Mapping[str, Any]:
        """What the member that has rank 0 says of itself."""
        members = self._world.members
        return dict(members[0].hello.about) if members and members[0].hello is not None else {}

    def fileno(self) -> int:
        """Return the control port's descriptor."""
        if self._closed:
            raise LaunchError("the launcher of the ranks is closed")
        return self._world.control.fileno()

    def alive(self) -> bool:
        """Return whether it can start ranks, which may have to wait for their machine."""
        return not self._closed

    def listen(self, world_size: int) -> Arrivals:
        """Open the way for the ranks of a group, once the world is whole."""
        if (lacking := self._world.whole()) is not None:
            raise LaunchError(lacking)
        world = self._world.world
        if world_size > len(world.slots):
            raise LaunchError(f"torchrun's world has {len(world.slots)} ranks")
        self._world.shared_folder(Path(tempfile.gettempdir()))
        members = self._world.members
        self._placed = tuple(members[slot] for slot in world.placed(world_size))
        self._preload(self._placed)
        return self._world.control.listen()

    def start(self, spec: RankSpec) -> int:
        """Have the member that has the rank's place fork it."""
        member = self._placed[spec.rank]
        (answer,) = self._world.control.ask([member], [Fork(self._local(spec))], self._config.timeout_s)
        if isinstance(answer, Refused):
            raise RefusalError(f"{member.name}: {answer.reason}")
        if not isinstance(answer, Forked):
            raise RefusalError(f"{member.name} was lost: {member.lost or 'it does not answer'}")
        self._number += 1
        self._started[self._number] = _Started(member, answer.pid, spec.death_s)
        return self._number

    def ended(self) -> Mapping[int, int | str]:
        """Return the exit status of every rank that ended by itself, and why those are lost whose machine is."""
        self._world.control.pump()
        ended: dict[int, int | str] = {}
        for number, started in self._started.items():
            if started.pid in started.member.statuses:
                ended[number] = started.member.statuses[started.pid]
            elif started.member.lost is not None:
                ended[number] = started.member.lost
        return ended

    def dump_stacks(self, pids: Sequence[int]) -> None:
        """Have their members send ranks the signal for it."""
        for member, started in self._by_member(pids).items():
            member.send(DumpStacks(tuple(each.pid for each in started)), Deadline.after(_OUTPUT_S))

    def bring_output(self, files: Mapping[int, tuple[Path, Path]]) -> None:
        """Write into files here what ranks printed there, and their stacks; what cannot be had in time is left out."""
        numbers = [number for number in files if number in self._started]
        started = [self._started[number] for number in numbers]
        answers = self._world.control.ask(
            [each.member for each in started],
            [ReadOutput(each.pid, _MOST_OUTPUT_BYTES) for each in started],
            min(_OUTPUT_S, self._config.timeout_s),
        )
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, Output):
                log, stack = files[number]
                log.write_bytes(answer.log)
                stack.write_bytes(answer.stack)

    def place(self, pid: int) -> Place:
        """Return the machine of a rank, and its process there."""
        started = self._started[pid]
        return Place(started.member.name, started.pid)

    def state(self, pid: int) -> str:
        """Return nothing: what another machine's kernel says is not asked, as that machine may be what is wrong."""
        return ""

    def sys_path(self, controllers: Sequence[str]) -> tuple[str, ...]:
        """Return the members' own entries, and then the controller's: what they import from a disk that is shared."""
        first = self._placed[0].hello
        own = first.sys_path if first is not None else ()
        return tuple(dict.fromkeys((*own, *map(os.path.abspath, controllers))))

    def kill(self, pids: Sequence[int]) -> None:
        """Have the members kill their ranks; a member that does not answer is let go, and then kills them all."""
        by_member = self._by_member(pids)
        for pid in pids:
            self._started.pop(pid, None)
        death_s = max((each.death_s for some in by_member.values() for each in some), default=0.0)
        members = list(by_member)
        kills: list[object] = [Kill(tuple(each.pid for each in some)) for some in by_member.values()]
        wait_s = min(max(ANSWER_S, death_s + 1), self._config.timeout_s)
        for member, answer in zip(members, self._world.control.ask(members, kills, wait_s), strict=True):
            for each in by_member[member]:
                member.statuses.pop(each.pid, None)
            if not isinstance(answer, Killed):
                _log.info("%s does not say that its ranks are gone", member.name)
                self._world.control.lose(member, "its ranks do not end")

    def close(self) -> None:
        """End every rank; the world stays."""
        if not self._closed:
            self._closed = True
            self.kill(tuple(self._started))
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _preload(self, members: Sequence[Member]) -> None:
        modules = self._config.preload
        late = [member for member in members if not member.preloaded.issuperset(modules)]
        self._world.control.ask(late, [Preload(modules)] * len(late), self._config.timeout_s)
        for member in late:
            member.preloaded.update(modules)

    def _local(self, spec: RankSpec) -> RankSpec:
        """Return the specification with the rank's place among the machines."""
        count, world = spec.world_size, self._world.world
        me, first = self._placed[spec.rank], self._placed[0].hello
        assert first is not None
        return replace(
            spec,
            node=me.slot.machine,
            local_rank=me.slot.local_rank,
            local_world_size=sum(each.slot.machine == me.slot.machine for each in self._placed),
            rendezvous=Rendezvous(
                first.store_host,
                first.store_port,
                hosted_by=None if first.store_stands else 0,
                prefix=f"gpt-dist/{spec.controller.token[:16]}",
            ),
            cpus=world.cores(count, spec.threads)[spec.rank] if spec.cpus else (),
            oversubscribed=spec.device == "cpu" and world.oversubscribed(count, spec.threads),
        )

    def _by_member(self, pids: Sequence[int]) -> dict[Member, list[_Started]]:
        found: dict[Member, list[_Started]] = {}
        for pid in pids:
            if pid in self._started:
                found.setdefault(self._started[pid].member, []).append(self._started[pid])
        return found


def open_world(host: str, port: int, timeout_s: float) -> TorchrunWorld:
    """Listen for the members of torchrun's world; UsageError where that is impossible, or there is no secret."""
    return TorchrunWorld(ControlPort(host, port, read_secret(), timeout_s), timeout_s)


def torchrun_launchers(
    world: TorchrunWorld,
) -> Callable[[Mapping[str, str], Path, ClusterConfig], TorchrunLauncher]:
    """Return what makes launchers for a world; the environment of its ranks is that of their machines."""
    return lambda environment, cwd, config: TorchrunLauncher(world, config)
