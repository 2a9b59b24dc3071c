"""The device that a rank owns: which one, how it communicates, how much of its memory is the rank's."""

import os
import resource
from dataclasses import dataclass

import torch

from pytest_gpt_dist.cluster.messages import RankSpec
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.gpus import driver_version
from pytest_gpt_dist.host.linux import data_bytes


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A rank's device, the backend that carries its tensors, torch's words for the default process group."""

    device: str
    backend: str
    process_group: str


def take_device(spec: RankSpec) -> OwnDevice:
    """Claim the rank's device; UsageError, in one line that says why, when it cannot be used."""
    if spec.device == "cpu":
        return OwnDevice("cpu", "gloo", "gloo")
    # NVML numbers GPUs by their place on the bus; CUDA, left alone, by speed.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    # NCCL's own watchdog must not speak before the controller does.
    os.environ.setdefault("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", str(int(spec.collective_timeout_s) + 1))
    # Containers of NVIDIA have float32 products rounded to TF32, which no reference would agree with.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    torch.set_float32_matmul_precision("highest")
    reason = why_torch_cannot_use_gpus()
    if reason is not None:
        raise UsageError(f"torch cannot use the GPUs: {reason}")
    count = torch.cuda.device_count()
    if spec.local_rank >= count and not spec.share_gpu:
        raise UsageError(f"rank {spec.rank} of {spec.world_size} has no GPU: torch sees {count}")
    index = (spec.local_rank if spec.gpu is None else spec.gpu) % count
    torch.cuda.set_device(index)
    # It plans for every length of the cache anew, which takes longer than the attention itself.
    torch.backends.cuda.enable_cudnn_sdp(False)
    # NCCL refuses two ranks on one GPU; what they communicate goes through the host.
    if spec.local_world_size > count or spec.backend == "gloo":
        return OwnDevice(f"cuda:{index}", "gloo", "gloo")
    return OwnDevice(f"cuda:{index}", "nccl", "cpu:gloo,cuda:nccl")


def why_torch_cannot_use_gpus() -> str | None:
    """Return why torch sees no GPU, None when it does; starts CUDA, so only a rank may ask."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA; install one with it"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = " ".join(str(error).split())
        driver = driver_version() or "not found"
        return (
            f"{reason} (torch {torch.__version__} wants CUDA {torch.version.cuda}; NVIDIA driver: {driver})"
        )
    if torch.cuda.device_count() == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return "it sees none" + ("" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible!r}")
    return None


def limit_memory(limit_bytes: int | None, device: str) -> None:
    """Cap what this rank may allocate from now on: its part of a GPU, or private memory on the CPU."""
    if limit_bytes is None:
        return
    if device == "cpu":
        limit = data_bytes() + limit_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    else:
        _, total_bytes = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total_bytes))
