"""What a member says of itself when it has been let in: plain values, which any version can read."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pytest_gpt_dist.cluster.about import about
from pytest_gpt_dist.cluster.wire import PROTOCOL_VERSION
from pytest_gpt_dist.errors import UsageError, one_line
from pytest_gpt_dist.host.cores import Cores, own_cores
from pytest_gpt_dist.host.gpus import Gpu, driver_version, installed_gpus, interconnect, visible_gpus
from pytest_gpt_dist.host.machine import cpu_name, nccl_variables
from pytest_gpt_dist.host.world import Slot

_FROM_TORCHRUN = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)
_KERNEL = Path("/proc/sys/kernel/random/boot_id")
MOST_RANKS = 65_536


@dataclass(frozen=True, slots=True)
class Hello:
    """A member's place in torchrun's world, where its ranks can meet, and what its machine has.

    `store_stands`: the agents of torchrun keep the store at (`store_host`, `store_port`); otherwise rank 0 is to open
    it there.
    """

    protocol: int
    about: Mapping[str, Any]
    sys_path: tuple[str, ...]
    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    machine: int
    host: str
    store_host: str
    store_port: int
    store_stands: bool
    kernel: str
    core_numbers: tuple[int, ...]
    core_limit: float | None
    cpu: str
    driver: str | None
    gpus: tuple[Gpu, ...]
    interconnect: str | None
    nccl_variables: tuple[tuple[str, str], ...]

    def to_json(self) -> str:
        """Return it as it is sent."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; TypeError, KeyError or ValueError of anything else."""
        plain = json.loads(text)
        for name in ("sys_path", "core_numbers"):
            plain[name] = tuple(plain[name])
        plain["gpus"] = tuple(Gpu(**each) for each in plain["gpus"])
        plain["nccl_variables"] = tuple((str(name), str(value)) for name, value in plain["nccl_variables"])
        hello = cls(**plain)
        if not 0 <= hello.rank < hello.world_size <= MOST_RANKS:
            raise ValueError(f"rank {hello.rank} of {hello.world_size}")
        return hello

    def slot(self, address: str) -> Slot:
        """Return the room for a rank that it has, on a machine that is reached at an address."""
        gpu = self.gpus[self.local_rank % len(self.gpus)] if self.gpus else None
        return Slot(
            machine=self.machine,
            name=f"machine {self.machine} ({one_line(self.host, 60)} at {address})",
            local_rank=self.local_rank,
            kernel=self.kernel,
            cores=Cores(self.core_numbers, self.core_limit),
            cpu=self.cpu,
            driver=self.driver,
            gpu=gpu,
            interconnect=self.interconnect,
        )


def own_hello(environment: Mapping[str, str] = os.environ) -> Hello:
    """Return what this process, started by torchrun, says of itself; UsageError where torchrun did not start it."""
    missing = [name for name in _FROM_TORCHRUN if not environment.get(name)]
    if missing:
        raise UsageError(
            f"{missing[0]} is not set: start it by torchrun … -m pytest_gpt_dist.cluster.torchrun --control HOST:PORT"
        )
    try:
        gpus = visible_gpus(environment.get("CUDA_VISIBLE_DEVICES"), installed_gpus())
        driver = driver_version() if gpus else None
    except UsageError:  # a driver that does not answer: ranks say so where they need it
        gpus, driver = (), None
    cores = own_cores()
    return Hello(
        protocol=PROTOCOL_VERSION,
        about=about(),
        sys_path=tuple(sys.path),
        rank=int(environment["RANK"]),
        world_size=int(environment["WORLD_SIZE"]),
        local_rank=int(environment["LOCAL_RANK"]),
        local_world_size=int(environment["LOCAL_WORLD_SIZE"]),
        machine=int(environment["GROUP_RANK"]),
        host=socket.gethostname(),
        store_host=environment["MASTER_ADDR"],
        store_port=int(environment["MASTER_PORT"]),
        store_stands=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        kernel=_KERNEL.read_text().strip(),
        core_numbers=cores.numbers,
        core_limit=cores.limit,
        cpu=cpu_name(),
        driver=driver,
        gpus=gpus,
        interconnect=interconnect(gpus),
        nccl_variables=nccl_variables(environment),
    )
