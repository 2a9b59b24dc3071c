"""The ``gpt-dist`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from tabulate import tabulate

from pytest_gpt_dist import __version__
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.options import DEFAULT_COUNTS, parse_counts
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.strategies.protocol import degenerate
from pytest_gpt_dist.topology import parameter_bytes, traffic

USAGE_ERROR = 4
_MIB = 2**20


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong usage: one line, and pytest's exit status for it."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 4 for wrong usage as in pytest."""
    parser = _Parser(prog="gpt-dist", description="Tools around pytest-gpt-dist.")
    parser.add_argument("--version", action="version", version=f"pytest-gpt-dist {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    plan = commands.add_parser("plan", help="how each strategy would divide a model, without running it")
    plan.add_argument("--model", default="gpt2-xl", metavar="NAME", help="preset, folder or hub name")
    plan.add_argument("--gpus", default=DEFAULT_COUNTS, type=_counts, metavar="N,N", help="device counts")
    plan.add_argument("--dtype", default="bfloat16", help="number format of the weights")
    plan.add_argument("--offline", action="store_true", help="never ask the model hub")
    given = parser.parse_args(arguments)
    try:
        print(_plan(given.model, given.gpus, given.dtype, offline=given.offline))
    except UsageError as error:
        print(f"gpt-dist {given.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _counts(text: str) -> tuple[int, ...]:
    try:
        return parse_counts(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _plan(model_name: str, counts: Sequence[int], dtype: str, *, offline: bool) -> str:
    registry = Registry()
    builtin(registry)
    size = resolve(model_name, registry, "random", offline=offline).config.dimensions
    width = itemsize(dtype)
    strategies = [registry.strategy(name) for name in registry.strategies]
    rows = []
    for gpus in counts:
        for strategy in strategies if gpus > 1 else strategies[:1]:
            layout = strategy.layout(gpus)
            places = [layout.coordinates(rank) for rank in range(gpus)]
            held = [parameter_bytes(size, layout, at, width) for at in places]
            step = [traffic(size, layout, at, passes=layout.pp) for at in places]
            equal = degenerate(strategy, gpus, strategies)
            rows.append(
                (
                    gpus,
                    strategy.name,
                    str(layout),
                    f"{min(held) / _MIB:,.0f} to {max(held) / _MIB:,.0f}",
                    max(each.all_reduce for each in step),
                    max(each.send for each in step),
                    f"= {equal}" if equal else "",
                )
            )
    headers = (
        "GPUs",
        "strategy",
        "layout",
        "MiB of weights a rank",
        "all-reduces a step",
        "sends a step",
        "",
    )
    return f"{model_name} in {dtype}\n" + tabulate(rows, headers=headers)
