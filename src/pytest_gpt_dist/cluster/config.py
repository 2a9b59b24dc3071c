"""What a cluster runs on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pytest_gpt_dist.cluster.code_version import OWN, Side
from pytest_gpt_dist.config.choices import LogLevel
from pytest_gpt_dist.errors import UsageError, quoted

Device = Literal["cpu", "cuda"]
Backend = Literal["auto", "nccl", "gloo"]


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Devices, communication and patience of a cluster.

    `timeout_s` is the longest silence of a rank, and of whoever starts ranks, from their start to their end.
    `memory_limit_bytes` is each rank's share of a GPU, or what it may take on the CPU beyond what it starts
    with. `share_gpu` lets several ranks own one GPU and
    stages their communication through host memory. `pin_cpus` gives each CPU rank cores of its own: for
    figures; runs that time nothing go better without. `log_dir` keeps what ranks print; None keeps it only
    of a group that failed. `log_level` is how much of what they do ranks write there: debug, info, warning or
    error. `side` is whose code the ranks run. `preload` names modules that ranks will need: imported once, before they
    are forked, where whoever starts them does so. `wait_s` is how long to wait for devices of this machine that other
    sessions have; with None they are not leased. UsageError when the parts do not fit together.
    """

    device: Device
    backend: Backend = "auto"
    threads_per_rank: int = 1
    share_gpu: bool = False
    memory_limit_bytes: int | None = None
    timeout_s: float = 300.0
    log_dir: Path | None = None
    log_level: str = "warning"
    pin_cpus: bool = True
    side: Side = OWN
    preload: tuple[str, ...] = ()
    wait_s: float | None = None

    def __post_init__(self) -> None:
        if self.device not in get_args(Device):
            raise UsageError(f"device {quoted(self.device)} is unknown: choose cpu or cuda")
        if self.backend not in get_args(Backend):
            raise UsageError(f"backend {quoted(self.backend)} is unknown: choose auto, nccl or gloo")
        if self.device == "cpu" and self.backend == "nccl":
            raise UsageError("backend nccl needs GPUs: choose gloo or auto on the CPU")
        if self.device == "cpu" and self.share_gpu:
            raise UsageError("a GPU can only be shared on device cuda: leave share_gpu out on the CPU")
        if self.share_gpu and self.backend == "nccl":
            raise UsageError("NCCL cannot put two ranks on one GPU: choose gloo or auto with share_gpu")
        if self.log_level not in get_args(LogLevel):
            raise UsageError(
                f"log level {quoted(self.log_level)} is unknown: choose {', '.join(get_args(LogLevel))}"
            )
        if self.threads_per_rank < 1:
            raise UsageError(f"threads per rank must be at least 1, not {self.threads_per_rank}")
        if self.memory_limit_bytes is not None and self.memory_limit_bytes < 1:
            raise UsageError(f"the memory limit must be at least 1 byte, not {self.memory_limit_bytes}")
        if not 0 < self.timeout_s < math.inf:
            raise UsageError(f"the timeout must be a number of seconds above 0, not {self.timeout_s}")
