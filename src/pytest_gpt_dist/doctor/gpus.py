"""The GPUs, as NVML sees them: which are visible, who uses them, how they are joined."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.doctor.finding import Finding, failure, looked
from pytest_gpt_dist.doctor.links import judge
from pytest_gpt_dist.doctor.visibility import visibility
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.gpus import (
    Gpu,
    GpuProcess,
    driver_cuda,
    driver_version,
    free_memory_bytes,
    installed_gpus,
    links,
    processes,
    unreachable_driver,
    unusable,
    visible_gpus,
)
from pytest_gpt_dist.telemetry.processes import process_name

_GIB = 2**30
_LEAVE_OUT = "leave it out with CUDA_VISIBLE_DEVICES"


def look_at_gpus(asked: str | None) -> tuple[tuple[Gpu, ...], list[Finding]]:
    """Return the GPUs that ranks would see, and findings; ``asked`` is CUDA_VISIBLE_DEVICES, None if it is not set.

    Where a visible one cannot be used, ranks would not start, and there are none.
    """
    try:
        installed = installed_gpus()
        trouble = None if installed else unreachable_driver()
    except Exception as error:
        return (), [failure("GPUs", error)]
    if trouble is not None:
        seen, _, remedy = trouble.partition("; ")
        return (), [Finding("GPUs", "warning", f"{seen}: cases run on the CPU", remedy)]
    visible = visible_gpus(asked, installed)
    findings = [visibility(asked, installed)]
    if (why_not := unusable(visible, installed)) is not None:
        findings.append(failure("GPUs", UsageError(why_not)))
    sound = tuple(gpu for gpu in visible if not gpu.lost)
    if sound:
        findings += looked("driver", _driver)
    for gpu in sound:
        findings += looked(f"GPU {gpu.index}", _each, gpu)
    if len(sound) > 1:
        findings += looked("links", lambda: judge(links(sound)))
    return sound if sound == visible else (), findings


def _driver() -> Finding:
    cuda = driver_cuda()
    newest = "" if cuda is None else f", for CUDA up to {cuda[0]}.{cuda[1]}"
    return Finding("driver", "ok", f"{driver_version()}{newest}")


def _each(gpu: Gpu) -> Finding:
    try:
        users, untold = processes(gpu), ""
    except UsageError as error:
        users, untold = (), str(error).partition("; ")[0]
    free_bytes = free_memory_bytes(gpu) if gpu.memory_bytes else None
    return use(gpu, free_bytes, [(user, process_name(user.pid)) for user in users], untold)


def use(
    gpu: Gpu, free_bytes: int | None, users: Sequence[tuple[GpuProcess, str | None]], untold: str = ""
) -> Finding:
    """Who uses a GPU, and what that leaves, None if not told; ``untold`` is why NVML does not tell who. Pure."""
    subject = f"GPU {gpu.index}"
    seen = "its memory is not told"
    if free_bytes is not None:
        seen = f"{free_bytes / _GIB:.1f} of {gpu.memory_bytes / _GIB:.1f} GiB free"
    if users:
        seen += f", used by {', '.join(_user(*user) for user in users)}"
        return Finding(subject, "warning", seen, f"no figure beside them is true: end them, or {_LEAVE_OUT}")
    if free_bytes is not None and free_bytes < gpu.memory_bytes / 2:
        seen += f", and who uses it is not to be seen{f': {untold}' if untold else ''}"
        return Finding(subject, "warning", seen, f"see nvidia-smi, outside of containers, or {_LEAVE_OUT}")
    if untold:
        return Finding(subject, "warning", f"{seen}, and who uses it is not told: {untold}", "see nvidia-smi")
    return Finding(subject, "ok", seen)


def _user(process: GpuProcess, name: str | None) -> str:
    held = "" if process.memory_bytes is None else f", {process.memory_bytes / _GIB:.1f} GiB"
    return f"{name or 'an unknown process'} (pid {process.pid}{held})"
