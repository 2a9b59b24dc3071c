"""Process groups of some of the ranks: made by all ranks in the same order, kept as long as the process."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import this_rank

_log = logging.getLogger(__name__)
_made: dict[tuple[tuple[int, ...], str], dist.ProcessGroup | None] = {}


def make_subgroups(partition: Sequence[tuple[int, ...]], purpose: str = "") -> dist.ProcessGroup | None:
    """Return this rank's group of a partition; every rank of the world calls it with the same arguments.

    A group is kept by its ranks and its purpose, so asking again costs nothing, and two purposes over the
    same ranks are two communicators. None: this rank is in no part, or alone in its own and has nobody to
    talk to. ValueError when a rank stands in two parts.
    """
    ranks = [rank for part in partition for rank in part]
    if len(ranks) != len(set(ranks)):
        raise ValueError(f"a rank stands in two parts of the partition {list(partition)}")
    me = this_rank()
    mine = None
    for part in partition:
        if len(part) < 2:
            continue
        key = (tuple(part), purpose)
        if key not in _made:
            _made[key] = _make(key, me.rank, me.collective_timeout_s)
        if me.rank in part:
            mine = _made[key]
    return mine


def _make(key: tuple[tuple[int, ...], str], rank: int, timeout_s: float) -> dist.ProcessGroup | None:
    ranks, purpose = key
    _log.debug("ranks %s become a group: %s", ranks, purpose)
    group = dist.new_group(list(ranks), timeout=timedelta(seconds=timeout_s), group_desc=purpose or None)
    return group if rank in ranks else None
