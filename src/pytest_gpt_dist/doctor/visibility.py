"""What CUDA_VISIBLE_DEVICES makes of the GPUs, by CUDA's rules, and the mistakes that are made in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.host.gpus import Gpu, hides_all, sound_value, visible_gpus

_NAME = "CUDA_VISIBLE_DEVICES"


def visibility(asked: str | None, installed: Sequence[Gpu]) -> Finding:
    """Return what the variable shows of the GPUs, with the value that would work; pure."""
    if not installed:
        seen = "NVML finds no NVIDIA GPU: cases run on the CPU, with gloo and a small model"
        if asked is not None and not hides_all(asked):
            return Finding("GPUs", "warning", f"{seen}, though {_NAME} is {asked!r}", "unset it")
        return Finding("GPUs", "ok", seen)
    if asked is None:
        return Finding("GPUs", "ok", f"{len(installed)} visible: {_names(installed)}")
    sound = sound_value(installed)
    works = f"unset {_NAME}" + (f", or set it to {sound}" if sound else "")
    if hides_all(asked):
        how = f"is {asked.strip()}" if asked.strip() else "is empty"
        seen = f"{_NAME} {how}, which hides all {len(installed)}: cases run on the CPU"
        return Finding("GPUs", "warning", seen, f"if that is not meant, {works}")
    visible = visible_gpus(asked, installed)
    shown = f"{len(visible)} of {len(installed)} visible" + (f": {_names(visible)}" if visible else "")
    wrong = mistake(asked, installed)
    if wrong is None:
        return Finding("GPUs", "ok", shown)
    if "MIG-" in asked:
        works = f"name whole GPUs, with MIG turned off (nvidia-smi -mig 0): {works}"
    return Finding(
        "GPUs", "warning" if visible else "fault", f"{_NAME} is {asked!r}: {wrong}; {shown}", works
    )


def mistake(asked: str, installed: Sequence[Gpu]) -> str | None:
    """Return the first thing in the variable that is not as it was meant; None where all is well. Pure."""
    entries = [entry.strip() for entry in asked.split(",")]
    before: list[Gpu] = []
    for place, entry in enumerate(entries, 1):
        if not entry:
            return f"entry {place} is empty, and CUDA stops there"
        found = visible_gpus(entry, installed)
        if not found:
            return f"{_why_none(entry, installed)}, and CUDA stops there"
        if found[0] in before:
            return f"it names GPU {found[0].index} twice, and CUDA then shows none"
        before += found
    for entry in entries:
        if not re.fullmatch(r"[0-9]+|GPU-.*", entry):
            return f"CUDA reads {entry!r} as {before[entries.index(entry)].index}"
    if len({entry.startswith("GPU-") for entry in entries}) > 1:
        return (
            "it names some GPUs by index and others by UUID, and torch counts only the first ones of a kind"
        )
    return None


def _why_none(entry: str, installed: Sequence[Gpu]) -> str:
    """Why an entry names no GPU."""
    if entry.startswith("MIG-"):
        return "MIG instances are not supported, for a rank owns a whole GPU"
    if entry.startswith("GPU-"):
        several = [str(gpu.index) for gpu in installed if gpu.uuid.startswith(entry)]
        if several:
            return f"the UUIDs of GPUs {' and '.join(several)} begin with {entry}"
        return f"no GPU has a UUID that begins with {entry!r}"
    if entry[:1].isdecimal() and entry.isascii():
        return f"there is no GPU of index {re.match('[0-9]+', entry)[0]}"  # type: ignore[index]
    if entry.startswith("-"):
        return f"{entry!r} is no index"
    return f"{entry!r} is neither an index nor a UUID, which begins with GPU-"


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.index} {gpu.name or 'without a name'}" for gpu in gpus)
