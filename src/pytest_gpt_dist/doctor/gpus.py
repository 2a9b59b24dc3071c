"""The GPUs, as NVML sees them, and what CUDA_VISIBLE_DEVICES makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pytest_gpt_dist.cluster.devices import (
    Gpu,
    driver_version,
    free_memory_bytes,
    installed_gpus,
    interconnect,
    processes,
    visible_gpus,
)
from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.errors import UsageError

_GIB = 2**30


def look_at_gpus(asked: str | None) -> tuple[tuple[Gpu, ...], list[Finding]]:
    """The GPUs that ranks would see, and findings; ``asked`` is CUDA_VISIBLE_DEVICES, None if it is not set."""
    try:
        installed = installed_gpus()
    except UsageError as error:
        return (), [Finding("GPUs", "fault", str(error))]
    findings = [visibility(asked, installed)]
    visible = visible_gpus(asked, installed)
    if visible:
        findings.append(Finding("driver", "ok", str(driver_version())))
        findings += _each(visible)
        findings += _links(visible)
    return visible, findings


def visibility(asked: str | None, installed: Sequence[Gpu]) -> Finding:
    """What CUDA_VISIBLE_DEVICES shows of the GPUs, with the value that would work; pure."""
    every = ",".join(str(gpu.index) for gpu in installed)
    if not installed:
        seen = "NVML finds no NVIDIA GPU: cases run on the CPU, with gloo and a small model"
        if asked:
            return Finding("GPUs", "warning", f"{seen}, though CUDA_VISIBLE_DEVICES={asked}", "unset it")
        return Finding("GPUs", "ok", seen)
    if asked is None:
        return Finding("GPUs", "ok", f"{len(installed)} visible: {_names(installed)}")
    visible = visible_gpus(asked, installed)
    mistake = _mistake(asked, visible)
    if mistake is None:
        return Finding("GPUs", "ok", f"{len(visible)} of {len(installed)} visible: {_names(visible)}")
    works = f"unset CUDA_VISIBLE_DEVICES, or set it to {every}"
    return Finding("GPUs", "warning" if visible else "fault", mistake, works)


def _mistake(asked: str, visible: Sequence[Gpu]) -> str | None:
    """What is wrong with the variable, of which CUDA makes these visible devices."""
    entries = [entry.strip() for entry in asked.split(",")]
    if not asked.strip():
        return "CUDA_VISIBLE_DEVICES is empty and hides all of them"
    if len(set(entries)) < len(entries):
        return f"CUDA_VISIBLE_DEVICES={asked} names one twice and hides all"
    if len(visible) == len(entries):
        return None
    wrong = entries[len(visible)]
    kind = "UUID" if wrong.startswith("GPU-") else "index"
    return (
        f"CUDA_VISIBLE_DEVICES={asked}: there is no GPU of {kind} {wrong}, which hides it and all behind it"
    )


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.index} {gpu.name}" for gpu in gpus)


def _each(gpus: Sequence[Gpu]) -> Iterator[Finding]:
    for gpu in gpus:
        free = free_memory_bytes(gpu)
        yield Finding(
            f"GPU {gpu.index} memory", "ok", f"{free / _GIB:.1f} of {gpu.memory_bytes / _GIB:.1f} GiB free"
        )
        if others := processes(gpu):
            pids = ", ".join(map(str, others))
            yield Finding(
                f"GPU {gpu.index}", "warning", f"used by processes {pids}", "figures beside them are not true"
            )


def _links(gpus: Sequence[Gpu]) -> Iterator[Finding]:
    for one, other in combinations(gpus, 2):
        link = str(interconnect((one, other)))
        subject = f"GPUs {one.index} and {other.index}"
        if link in ("nvlink", "pcie switch"):
            yield Finding(subject, "ok", link)
        else:
            yield Finding(
                subject, "warning", f"connected by {link}", "tensor parallelism between them will be slow"
            )
