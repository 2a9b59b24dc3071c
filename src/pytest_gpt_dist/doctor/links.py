"""What joins GPUs: one finding, with a matrix below it where there are more than two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.doctor.finding import Finding, State
from pytest_gpt_dist.host.gpus import KINDS, Link

_SHORT = dict(zip(KINDS, ("NV", "PIX", "PXB", "PHB", "NODE", "SYS", "?"), strict=True))
"""As nvidia-smi shortens them."""
_FAST = ("nvlink", "pcie switch")
_NO_PEER = "!"
_SLOW = (
    "keep tensor parallelism to GPUs with a fast link (CUDA_VISIBLE_DEVICES), and let only pipelines cross"
)
_THROUGH_HOST = (
    "NCCL copies through the host's memory: turn off ACS and the IOMMU, or ask who runs the machine"
)


@dataclass(frozen=True, slots=True)
class Links(Finding):
    """How all of some GPUs are joined."""

    pairs: tuple[Link, ...] = ()

    def beneath(self) -> Sequence[str]:
        """Return a matrix, and what its words mean."""
        return matrix(self.pairs) if len(self.pairs) > 1 else ()


def judge(pairs: Sequence[Link]) -> Links:
    """Whether all pairs are joined well; pure."""
    kinds = [kind for kind in KINDS if any(pair.kind == kind for pair in pairs)]
    without = [pair for pair in pairs if pair.peer_access is False]
    slow = [pair for pair in pairs if pair.kind not in _FAST]
    seen = " and ".join(map(_said, kinds))
    if without:
        seen += ", no peer access" + ("" if len(without) == len(pairs) else f" between {_named(without)}")
    elif any(pair.peer_access is None for pair in pairs):
        seen += ", NVML does not tell of peer access"
    else:
        seen += ", with peer access"
    remedy = _THROUGH_HOST if without else _SLOW if slow else ""
    state: State = "warning" if remedy else "ok"
    return Links("links", state, seen, remedy, tuple(pairs))


def matrix(pairs: Sequence[Link]) -> list[str]:
    """Return the links as rows and columns of GPUs, and a line with what its words mean; pure."""
    numbers = sorted({number for pair in pairs for number in pair.gpus})
    cells = {
        (one, other): _SHORT[pair.kind] + (_NO_PEER if pair.peer_access is False else "")
        for pair in pairs
        for one, other in (pair.gpus, pair.gpus[::-1])
    }
    rows = [["", *map(str, numbers)]]
    rows += [[str(one), *(cells.get((one, other), "-") for other in numbers)] for one in numbers]
    width = max(len(cell) for row in rows for cell in row)
    words = [f"{short} {kind}" for kind, short in _SHORT.items() if any(pair.kind == kind for pair in pairs)]
    if any(pair.peer_access is False for pair in pairs):
        words.append(f"{_NO_PEER} no peer access")
    return ["  ".join(cell.rjust(width) for cell in row) for row in rows] + [", ".join(words)]


def _said(kind: str) -> str:
    return {
        "system": "system (from one CPU's to another's)",
        "unknown": "a link that NVML does not tell",
    }.get(kind, kind)


def _named(pairs: Sequence[Link]) -> str:
    first = ", ".join(f"{one} and {other}" for one, other in (pair.gpus for pair in pairs[:3]))
    return first + (f", and {len(pairs) - 3} more pairs" if len(pairs) > 3 else "")
