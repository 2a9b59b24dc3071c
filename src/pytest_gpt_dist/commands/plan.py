"""``gpt-dist plan``: how each strategy would divide a model, without running it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from pytest_gpt_dist.errors import UsageError, one_line
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.parallel import parameter_bytes, stages, traffic
from pytest_gpt_dist.parallel.strategy import degenerate
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.results.table import Align, table

_MIB = 2**20
_HEADERS = ("GPUs", "strategy", "layout", "MiB of weights a rank", "all-reduces a step", "sends a step", "")
_ALIGN: tuple[Align, ...] = ("right", "left", "left", "right", "right", "right", "left")


def run(given: Namespace) -> int:
    """Print the table."""
    print(_plan(given.model, given.gpus, given.dtype, offline=given.offline))
    return 0


def _plan(model_name: str, counts: Sequence[int], dtype: str, *, offline: bool) -> str:
    registry = Registry()
    builtin(registry)
    size = resolve(model_name, registry, "random", offline=offline).config.dimensions
    width = itemsize(dtype)
    strategies = [registry.strategy(name) for name in registry.strategies]
    rows: list[tuple[object, ...]] = []
    for gpus in counts:
        for strategy in strategies if gpus > 1 else strategies[:1]:
            layout = strategy.layout(gpus)
            try:
                _ = stages(size, layout.pp)
            except UsageError as error:
                rows.append((gpus, strategy.name, str(layout), "-", "-", "-", str(error)))
                continue
            places = [layout.coordinates(rank) for rank in range(gpus)]
            held = [parameter_bytes(size, layout, at, width) for at in places]
            step = [traffic(size, layout, at, passes=layout.pp) for at in places]
            equal = degenerate(strategy, gpus, strategies)
            rows.append(
                (
                    gpus,
                    strategy.name,
                    str(layout),
                    _span(min(held), max(held)),
                    max(each.all_reduce for each in step),
                    max(each.send for each in step),
                    f"= {equal}" if equal else "",
                )
            )
    return f"{one_line(model_name)} in {dtype}\n{table(rows, _HEADERS, _ALIGN)}"


def _span(least_bytes: int, most_bytes: int) -> str:
    least, most = (f"{size / _MIB:,.0f}" for size in (least_bytes, most_bytes))
    return least if least == most else f"{least} to {most}"
