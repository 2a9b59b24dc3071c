"""Which random weights a session keeps between launches, and where."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from pytest_gpt_dist.host.cgroups import memory_left_bytes
from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.inference.exactness.tolerance import reference_dtype
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.parallel import Layout, parameter_bytes

_LARGEST_SHARE_OF_DISK = 1 / 4
_LARGEST_SHARE_OF_MEMORY = 1 / 2

_log = logging.getLogger(__name__)


class WeightCachePolicy:
    """Lets launches keep what they make where others will need it again, and where there is room for it.

    Making weights takes longer than reading them, but what nobody reads would be written for nothing. On a GPU
    they are made faster than they could be read, and are not kept.

    Args:
        scratch: the session's folder, asked for each time because it may be another one by then.
        device: of the ranks.
        cases: how many the session is to run; they share what their layouts have in common.
        paired: whether each is launched several times, on two sides.
    """

    def __init__(self, scratch: Callable[[], Path], device: str, *, cases: int, paired: bool) -> None:
        self._scratch = scratch
        self._on_cpu = device == "cpu"
        self._several = cases > 1
        self._paired = paired
        self._room: dict[tuple[ModelSource, Layout], bool] = {}

    def for_launch(self, source: ModelSource, layout: Layout, launches: int) -> ModelSource:
        """Return the source as it goes to the ranks of one of ``launches`` launches of a case."""
        return self._with_cache(source, layout, again=self._several or self._paired or launches > 1)

    def for_reference(self, source: ModelSource) -> ModelSource:
        """Return the source as it goes to the rank that computes references, once for the prompts of each case."""
        wide = replace(source, dtype=reference_dtype(source.dtype))
        weight_cache = self._with_cache(wide, Layout(), again=self._several).weight_cache
        return replace(source, weight_cache=weight_cache)

    def _with_cache(self, source: ModelSource, layout: Layout, *, again: bool) -> ModelSource:
        if not (again and self._on_cpu and source.folder is None):
            return source
        key = (source, layout)
        if self._room.get(key) is False:
            return source
        folder = self._scratch() / "weights"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            _log.warning("no weights are kept: %s", error)
            return source
        if key not in self._room:
            self._room[key] = _has_room(source, layout, folder)
        return replace(source, weight_cache=str(folder)) if self._room[key] else source


def _has_room(source: ModelSource, layout: Layout, folder: Path) -> bool:
    """Whether there is room, which also leaves enough for the other side of an A/B and for the next model.

    Memory counts wherever the folder is: files there may lie in memory themselves, and those on a disk are only
    read fast while they do.
    """
    width = itemsize(source.dtype)
    held = sum(
        parameter_bytes(source.config.dimensions, layout, layout.coordinates(rank), width)
        for rank in range(layout.world_size)
    )
    cached = held // layout.dp
    disk, memory = shutil.disk_usage(folder).free, psutil.virtual_memory().available
    if (left := memory_left_bytes()) is not None:
        memory = min(memory, left)
    room = cached <= disk * _LARGEST_SHARE_OF_DISK and cached + held <= memory * _LARGEST_SHARE_OF_MEMORY
    _log.info(
        "weights of %d bytes, for %s in %s, %s: %d bytes of disk are free, and %d of memory",
        *(
            cached,
            layout,
            source.dtype,
            "may be kept" if room else "are made anew by every launch",
            disk,
            memory,
        ),
    )
    return room
