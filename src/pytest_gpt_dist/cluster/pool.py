"""The owner of every rank group of a session: starts them when asked for, keeps them, ends them all."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.devices import LeasedDevices
from pytest_gpt_dist.cluster.failure import RankGroupError, could_not_start
from pytest_gpt_dist.cluster.group import RankGroup
from pytest_gpt_dist.cluster.launcher import Launcher, LaunchError
from pytest_gpt_dist.cluster.local.client import local_server
from pytest_gpt_dist.host.preconditions import unmet

Launchers = Callable[[Mapping[str, str], Path, ClusterConfig], Launcher]
"""Makes a launcher for an environment and a working directory; LaunchError if it cannot."""
_CHANGES_WITH_EVERY_TEST = "PYTEST_CURRENT_TEST"


class Cluster:
    """One group of ranks per world size, started when first asked for and reused while it lives.

    Ranks see the environment and working directory of the moment in which their group was started: a change
    reaches the next group that is started, and an existing one stays as it is. A context manager, for one
    thread; `close` ends everything. `launchers` makes whoever starts the ranks; `tell` is told of what is waited for.
    """

    def __init__(
        self,
        config: ClusterConfig,
        launchers: Launchers = local_server,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.config = config
        self._devices = LeasedDevices(config, tell, self.end_ranks)
        self._make_launcher = launchers
        self._launchers: list[tuple[tuple[Mapping[str, str], Path], Launcher]] = []
        self._groups: dict[int, tuple[RankGroup, Launcher]] = {}
        self._closed = False

    def group(self, world_size: int) -> RankGroup:
        """Return the live group of `world_size` ranks, starting it if there is none.

        RankGroupError of kind "start" when it cannot be started.
        """
        device_count(world_size, "a group of ")
        if self._closed:
            raise RuntimeError("this cluster is closed")
        if world_size in self._groups:
            group, _ = self._groups[world_size]
            if group.alive and not group.lost():
                return group
            del self._groups[world_size]
            group.kill()
        devices = self._devices.of(world_size)
        launcher = self._launcher(world_size)
        group = RankGroup(launcher, self.config, world_size, devices)
        self._groups[world_size] = (group, launcher)
        return group

    def end_ranks(self) -> None:
        """End every rank; the launchers stay, and start new ranks when a group is asked for."""
        with ExitStack() as stack:
            stack.callback(self._devices.release)
            for group, _ in self._groups.values():
                stack.callback(group.leave)
            self._groups.clear()

    def close(self) -> None:
        """End every rank and launcher, each whatever becomes of the others; does nothing the second time."""
        self._closed = True
        with ExitStack() as stack:  # the last first
            stack.callback(self._devices.release)
            for _, launcher in self._launchers:
                stack.callback(launcher.close)
            for group, _ in self._groups.values():
                stack.callback(group.leave)
            self._launchers.clear()
            self._groups.clear()

    def _launcher(self, world_size: int) -> Launcher:
        """Return the launcher for the present environment and directory; end those that nobody needs."""
        environment = {name: value for name, value in os.environ.items() if name != _CHANGES_WITH_EVERY_TEST}
        key = (environment, Path.cwd())
        needed = [launcher for group, launcher in self._groups.values() if group.alive]
        found = None
        for entry in list(self._launchers):
            made_for, launcher = entry
            if made_for == key and launcher.alive():
                found = launcher
            elif launcher not in needed:
                self._launchers.remove(entry)
                launcher.close()
        if found is None:
            try:
                found = self._make_launcher(*key, self.config)
            except LaunchError as error:
                summary = could_not_start(world_size, error.reason, unmet(self.config.timeout_s), error.said)
                raise RankGroupError("start", (), summary) from error
            self._launchers.append((key, found))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
