"""The ``gpt-dist`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tabulate import tabulate

from pytest_gpt_dist import __version__
from pytest_gpt_dist.compare.baselines import MeasuredCase, judge_session, read_baselines, read_session
from pytest_gpt_dist.compare.verdict import MIN_EFFECT
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.settings import DEFAULT_COUNTS, parse_counts
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
    compare = commands.add_parser("compare", help="verdicts on a saved session against earlier ones")
    compare.add_argument(
        "base", nargs="+", type=Path, metavar="BASE", help="file or folder of earlier sessions"
    )
    compare.add_argument("new", type=Path, metavar="NEW", help="file of the session to be judged")
    compare.add_argument("--fail-on", choices=["regressed"], help="exit with 1 if there is such a verdict")
    compare.add_argument("--min-effect", default=MIN_EFFECT, type=float, metavar="SHARE")
    given = parser.parse_args(arguments)
    try:
        if given.command == "compare":
            return _compare(given.base, given.new, given.min_effect, given.fail_on)
        print(_plan(given.model, given.gpus, given.dtype, offline=given.offline))
    except UsageError as error:
        print(f"gpt-dist {given.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _compare(base: Sequence[Path], new: Path, min_effect: float, fail_on: str | None) -> int:
    current = read_session(new)
    earlier: list[MeasuredCase] = []
    for path in base:
        if path.is_dir():
            found = read_baselines(path)
            earlier += found.cases
            print(*found.skipped, sep="\n", end="\n" if found.skipped else "", file=sys.stderr)
        else:
            earlier += read_session(path)
    if not current:
        raise UsageError(f"{new} holds no case of pytest-gpt-dist")
    verdicts = judge_session(current, earlier, {case.name: min_effect for case in current})
    print(render_verdicts(verdicts))
    print(conclusion(verdicts, required=False))
    return int(any(verdict.kind == fail_on for verdict in verdicts))


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
