"""``gpt-dist plan``: how each strategy would divide a model, without running it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.machine import find_machine
from pytest_gpt_dist.inference.workload import device_defaults
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.parallel import parameter_bytes, stages, traffic
from pytest_gpt_dist.parallel.strategy import degenerate, plan_of
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.results.fitted_table import Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align
from pytest_gpt_dist.terminal.width import output_columns

_MIB = 2**20
_ABOUT = "Weights of a rank, and how often it communicates in a step:"
_ELSEWHERE = "a wider terminal, or COLUMNS=120, shows them"
_HEADERS = ("GPUs", "strategy", "layout", "MiB a rank", "all-reduces", "sends")
_ALIGN: tuple[Align, ...] = ("right", "left", "left", "right", "right", "right")
_BY_PRIORITY = ("strategy", "layout", "MiB a rank", "all-reduces", "sends")


def run(given: Namespace) -> int:
    """Print the table; a model or dtype that is not given is that of a session on this machine."""
    model, dtype = given.model, given.dtype
    if model is None or dtype is None:
        usual = device_defaults(find_machine(Options()).device)
        model, dtype = model or usual.model, dtype or usual.dtype
    width = output_columns(sys.stdout.isatty())
    print(_plan(model, given.gpus, dtype, width, offline=given.offline))
    return 0


def _plan(model_name: str, counts: Sequence[int], dtype: str, width: int, *, offline: bool) -> str:
    registry = Registry()
    builtin(registry)
    size = resolve(model_name, registry, "random", offline=offline).config.dimensions
    itemsize_bytes = itemsize(dtype)
    strategies = [registry.strategy(name) for name in registry.strategies]
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for gpus in counts:
        for strategy in strategies if gpus > 1 else strategies[:1]:
            layout = plan_of(strategy, gpus).layout
            try:
                _ = stages(size, layout.pp)
            except UsageError as error:
                rows.append((str(gpus), strategy.name, str(layout), "-", "-", "-"))
                notes.append(str(error))
                continue
            places = [layout.coordinates(rank) for rank in range(gpus)]
            held = [parameter_bytes(size, layout, at, itemsize_bytes) for at in places]
            step = [traffic(size, layout, at, passes=layout.pp) for at in places]
            equal = degenerate(strategy, gpus, strategies)
            rows.append(
                (
                    str(gpus),
                    strategy.name,
                    str(layout),
                    _span(min(held), max(held)),
                    str(max(each.all_reduce for each in step)),
                    str(max(each.send for each in step)),
                )
            )
            notes.append(f"= {equal}" if equal else "")
    columns = [Column(*column) for column in zip(_HEADERS, _ALIGN, zip(*rows, strict=True), strict=True)]
    table = fitted_table(columns, width, by_priority=_BY_PRIORITY, elsewhere=_ELSEWHERE, notes=notes)
    heading = wrapped(f"{model_name} in {dtype}", width)
    return "\n".join([*heading, *wrapped(_ABOUT, width), table])


def _span(least_bytes: int, most_bytes: int) -> str:
    least, most = (f"{size / _MIB:,.0f}" for size in (least_bytes, most_bytes))
    return least if least == most else f"{least} to {most}"
