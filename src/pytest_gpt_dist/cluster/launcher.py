"""Who starts ranks: the seam between rank groups and what brings processes up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_gpt_dist.cluster.connect import Arrivals
from pytest_gpt_dist.cluster.failure import and_said
from pytest_gpt_dist.cluster.messages import RankSpec


class LaunchError(Exception):
    """Ranks could not be started, or whoever started them is gone.

    `reason` is one line, `said` what whoever started them printed. `out_of_memory` says that the kernel ended it for
    want of memory.
    """

    def __init__(self, reason: str, said: str = "", *, out_of_memory: bool = False) -> None:
        self.reason = reason
        self.said = said
        self.out_of_memory = out_of_memory
        super().__init__(and_said(reason, said))


class RefusalError(LaunchError):
    """Whoever starts ranks is there, and could not do what it was asked for."""


class OtherVersionError(LaunchError):
    """Whoever is to start ranks is of another version, ``newer`` if a later one, and does not understand this one."""

    def __init__(self, reason: str, *, newer: bool = False) -> None:
        super().__init__(reason)
        self.newer = newer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rank's process is: the machine's name, "" of this one, and its pid there."""

    machine: str
    pid: int


class Launcher(Protocol):
    """Starts ranks somewhere, sends them signals, tells of their end and clears up after them.

    `scratch` is a folder of its own that nobody else may enter; it goes with the launcher. `is_here`: its ranks are
    processes of this machine, and the numbers by which it calls them are their pids.
    """

    scratch: Path
    is_here: bool

    @property
    def about(self) -> Mapping[str, Any]:
        """What it says of itself, in plain values: `cluster.about`."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when `ended` has news; LaunchError once it is closed."""

    def alive(self) -> bool:
        """Return whether it can start ranks."""

    def listen(self, world_size: int) -> Arrivals:
        """Open, before a group's ranks are started, where they connect to; LaunchError if they cannot be started."""

    def start(self, spec: RankSpec) -> int:
        """Start a rank and return its pid, or another number of its own; LaunchError when it cannot be.

        The rank is `rank_main` of the specification, which tells of one machine: a launcher for several puts in node,
        local rank and rendezvous as it places the rank.
        """

    def ended(self) -> Mapping[int, int | str]:
        """Return, without waiting, the exit status of every rank that ended by itself; LaunchError if
        unknowable.

        A status below 0 is the signal that killed the rank; a text says why a rank is lost together with its machine.
        """

    def dump_stacks(self, pids: Sequence[int]) -> None:
        """Have ranks begin to write their stacks into their files; LaunchError if they cannot be asked."""

    def bring_output(self, files: Mapping[int, tuple[Path, Path]]) -> None:
        """Have the files of ranks, for output and for stacks, hold what they wrote on another machine."""

    def place(self, pid: int) -> Place:
        """Return where a rank's process is."""

    def state(self, pid: int) -> str:
        """Return what is known of what a rank's process is doing ("S (sleeping)"), "" if nothing."""

    def sys_path(self, controllers: Sequence[str]) -> tuple[str, ...]:
        """Return the sys.path that its ranks are to have, given the controller's."""

    def kill(self, pids: Sequence[int]) -> None:
        """Kill ranks and all that they started, and remove what they left; LaunchError if that fails."""

    def close(self) -> None:
        """End every rank and the launcher itself, within a few seconds."""
