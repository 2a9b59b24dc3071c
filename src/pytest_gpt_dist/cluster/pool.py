"""The owner of every rank group of a session: starts them when asked for, keeps them, ends them all."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.cluster.failure import RankGroupError, could_not_start
from pytest_gpt_dist.cluster.group import RankGroup
from pytest_gpt_dist.cluster.launcher import LaunchError, LocalServer
from pytest_gpt_dist.host.preconditions import unmet

_CHANGES_WITH_EVERY_TEST = "PYTEST_CURRENT_TEST"


class Cluster:
    """One group of ranks per world size, started when first asked for and reused while it lives.

    Ranks see the environment and working directory of the moment in which their group was started: a change
    reaches the next group that is started, and an existing one stays as it is. A context manager, for one
    thread; `close` ends everything.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._servers: list[tuple[tuple[Mapping[str, str], Path], LocalServer]] = []
        self._groups: dict[int, tuple[RankGroup, LocalServer]] = {}
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
            group.bury()
        server = self._server(world_size)
        group = RankGroup(server, self.config, world_size, server.scratch)
        self._groups[world_size] = (group, server)
        return group

    def close(self) -> None:
        """End every rank and server, each whatever becomes of the others; does nothing the second time."""
        self._closed = True
        with ExitStack() as stack:  # the last first
            for _, server in self._servers:
                stack.callback(server.close)
            for group, _ in self._groups.values():
                stack.callback(group.leave)
            self._servers.clear()
            self._groups.clear()

    def _server(self, world_size: int) -> LocalServer:
        """Return the server for the present environment and directory; end those that nobody needs."""
        environment = {name: value for name, value in os.environ.items() if name != _CHANGES_WITH_EVERY_TEST}
        key = (environment, Path.cwd())
        needed = [server for group, server in self._groups.values() if group.alive]
        found = None
        for entry in list(self._servers):
            made_for, server = entry
            if made_for == key and server.alive():
                found = server
            elif server not in needed:
                self._servers.remove(entry)
                server.close()
        if found is None:
            try:
                found = LocalServer(*key, self.config.side, timeout_s=self.config.timeout_s)
            except LaunchError as error:
                summary = could_not_start(world_size, error.reason, unmet(self.config.timeout_s), error.said)
                raise RankGroupError("start", (), summary) from error
            self._servers.append((key, found))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
