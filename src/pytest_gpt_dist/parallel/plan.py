"""How a model is divided over devices: a layout, and how the data-parallel ranks divide the state of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.parallel.layout import Layout

Sharded = Literal["", "optimizer", "gradients", "parameters"]
"""What data-parallel ranks hold a share of, each with what stands before it: ZeRO's stages 1, 2 and 3."""


@dataclass(frozen=True, slots=True)
class ParallelPlan:
    """The degrees of a world, and what its data-parallel ranks hold whole or in shares.

    DDP, ZeRO and FSDP on as many ranks have one layout and are three plans.

    Attributes:
        layout: degrees ``dp × pp × tp``; ``dp`` is ``dp_replicate × dp_shard``.
        dp_shard: number of data-parallel ranks that divide the state among them; 1 where each holds it whole.
        sharded: what of the state they divide; empty where ``dp_shard`` is 1.
        library: what divides it, such as ``fsdp2``; empty where nothing is divided.
        schedule: the order of microbatches over pipeline stages, such as ``1f1b``; empty for a single stage, and where
            the engine has one of its own.

    Raises:
        UsageError: when these contradict each other.
    """

    layout: Layout
    dp_shard: int = 1
    sharded: Sharded = ""
    library: str = ""
    schedule: str = ""

    def __post_init__(self) -> None:
        device_count(self.dp_shard, "dp_shard=")
        if self.layout.dp % self.dp_shard:
            raise UsageError(
                f"{self.layout}: dp_shard={self.dp_shard} does not divide its {self.layout.dp} replicas"
            )
        if self.sharded not in get_args(Sharded):
            known = ", ".join(filter(None, get_args(Sharded)))
            raise UsageError(f"sharded={quoted(self.sharded)}: expected one of {known}, or nothing")
        if (self.dp_shard > 1) is not bool(self.sharded):
            raise UsageError(
                f"dp_shard={self.dp_shard} and sharded={quoted(self.sharded)}: more than one rank divides a state,"
                " and one divides none"
            )
        if self.schedule and self.layout.pp == 1:
            raise UsageError(f"schedule={quoted(self.schedule)}: {self.layout} has a single stage")

    @property
    def dp_replicate(self) -> int:
        """Number of groups of ranks that each hold the whole state."""
        return self.layout.dp // self.dp_shard

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.layout.world_size

    @property
    def id(self) -> str:
        """The layout's id, and what the plan adds to that: ``dp4pp1tp1-parameters2``, ``dp1pp2tp1-1f1b``."""
        shards = f"{self.sharded}{self.dp_shard}" if self.sharded else ""
        return "-".join(filter(None, (self.layout.id, shards, self.schedule)))

    def __str__(self) -> str:
        shards = f"{self.sharded} in {self.dp_shard} shards" if self.sharded else ""
        return " · ".join(filter(None, (str(self.layout), shards, self.library, self.schedule)))
