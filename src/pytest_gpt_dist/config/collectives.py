"""The options of collectives: which ones, over how many bytes."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.config.declaration import Section, option, parse_bytes, parse_names

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "send_recv")
DEFAULT_SIZES = (2**10, 2**16, 2**22)
_MOST_BYTES = 2**40


def parse_collectives(text: str) -> tuple[str, ...]:
    """Return collectives of a comma-separated list; ValueError for one that there is not."""
    names = parse_names(text)
    if unknown := [name for name in names if name not in KINDS]:
        raise ValueError(f"expected some of {', '.join(KINDS)}, not {unknown[0][:40]}")
    return names


def parse_sizes(text: str) -> tuple[int, ...]:
    """Return sizes in bytes of a list such as ``1KiB,4MiB``, ascending and without repeats."""
    sizes = tuple(sorted({parse_bytes(part) for part in parse_names(text)}))
    if sizes[-1] > _MOST_BYTES:
        raise ValueError("expected at most 1TiB")
    return sizes


@dataclass(frozen=True)
class CollectiveOptions(Section):
    """Which collectives are measured, and over how many bytes."""

    title = "collectives"

    collective: tuple[str, ...] = option(
        KINDS,
        "which of all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, send_recv (default: all)",
        parse=parse_collectives,
        metavar="NAME,NAME",
    )
    collective_sizes: tuple[int, ...] = option(
        DEFAULT_SIZES,
        "bytes of a collective, as nccl-tests counts them (default: 1KiB,64KiB,4MiB)",
        parse=parse_sizes,
        metavar="SIZE,SIZE",
    )
