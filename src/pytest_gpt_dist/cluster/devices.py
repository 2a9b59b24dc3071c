"""Which devices of this machine the groups of a cluster have, while other sessions have others."""

import os
from collections.abc import Callable

from pytest_gpt_dist.cluster.config import ClusterConfig
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import own_cores
from pytest_gpt_dist.host.gpus import installed_gpus, visible_gpus
from pytest_gpt_dist.host.leases import Lease, lease


class LeasedDevices:
    """The leases of a cluster: enough devices for its largest group, as all groups may share them.

    ``let_go`` ends all groups: where more devices have to be waited for, those that there are go to others first, so
    that no two sessions wait for each other.
    """

    def __init__(
        self, config: ClusterConfig, tell: Callable[[str], None], let_go: Callable[[], None]
    ) -> None:
        self._config = config
        self._tell = tell
        self._let_go = let_go
        self._leases: list[Lease] = []
        self._names: list[str] = []
        self._for = 0

    def has(self, world_size: int) -> bool:
        """Return whether so many ranks need no more than is leased."""
        return self._config.wait_s is None or self._for >= world_size

    def of(self, world_size: int) -> tuple[int, ...] | None:
        """Return the cores, or the places of the GPUs among the visible ones, of so many ranks; None for any.

        UsageError where others keep them for longer than the configuration waits.
        """
        if self._config.wait_s is None:
            return None
        on_cpu = self._config.device == "cpu"
        places = own_cores().numbers if on_cpu else tuple(range(len(_gpus())))
        if not places:
            return None  # said by the rank that finds no GPU
        names = [f"core-{number}" for number in places] if on_cpu else [f"gpu-{uuid}" for uuid in _gpus()]
        if not self.has(world_size):
            wanted = world_size * (self._config.threads_per_rank if on_cpu else 1)
            self._take(names, min(wanted, len(names)))
            self._for = world_size
        return tuple(places[names.index(name)] for name in self._names)

    def release(self) -> None:
        """Let other sessions have them."""
        for each in self._leases:
            each.release()
        self._leases, self._names, self._for = [], [], 0

    def _take(self, names: list[str], count: int) -> None:
        """Lease further devices, or, where that many are not free now, wait for all of them."""
        assert self._config.wait_s is not None
        others = [name for name in names if name not in self._names]
        try:
            self._add(others, lease(others, count - len(self._names), 0.0, lambda text: None))
        except UsageError:
            self._let_go()
            self.release()
            self._add(names, lease(names, count, self._config.wait_s, self._tell))

    def _add(self, names: list[str], more: Lease) -> None:
        self._leases.append(more)
        self._names += [names[number] for number in more.numbers]


def _gpus() -> list[str]:
    visible = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), installed_gpus())
    return [gpu.uuid or str(gpu.index) for gpu in visible]
