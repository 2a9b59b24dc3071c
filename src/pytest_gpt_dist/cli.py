"""The ``gpt-dist`` command: what may be typed. What it then does stands in ``commands``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from errno import EDQUOT, EIO, ENOSPC
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from signal import SIGINT, SIGPIPE
from typing import NoReturn

from pytest_gpt_dist.compare.verdict import MIN_EFFECT, require_min_effect
from pytest_gpt_dist.config.declaration import parse_counts
from pytest_gpt_dist.config.sections import DEFAULT_COUNTS
from pytest_gpt_dist.datasets.generate import DISTRIBUTIONS, FILES, LENGTHS, LONGEST, SHORTEST
from pytest_gpt_dist.errors import UsageError, quoted, shortened
from pytest_gpt_dist.results.trackers import FORMATS
from pytest_gpt_dist.terminal.encoding import STAND_INS
from pytest_gpt_dist.version import __version__

USAGE_ERROR = 4
_LONGEST_MESSAGE = 400
INTERRUPTED = 128 + SIGINT
UNREAD = 128 + SIGPIPE
_FULL = (ENOSPC, EDQUOT, EIO)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong usage: one line, and pytest's exit status for it."""
        self.exit(
            USAGE_ERROR, f"{self.prog}: {shortened(message, _LONGEST_MESSAGE)}; see {self.prog} --help\n"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    The exit status is the command's own, 4 for wrong usage as in pytest, 130 after Ctrl-C, and 141 where nobody
    reads the output any more, as of a process that these signals end; 74 where the output cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=STAND_INS)
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where it can be told that nobody reads it
    except BrokenPipeError:
        _write_to_nobody()
        return UNREAD
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"gpt-dist: the output cannot be written: {error.strerror}", file=sys.stderr)
        _write_to_nobody()
        return os.EX_IOERR


def _run(arguments: Sequence[str] | None) -> int:
    given = build_parser().parse_args(arguments)
    if given.asked is not None:
        given.asked.print_help()
        return 0
    try:
        # Each command imports what it needs, some of it slow, and no command needs that of another.
        status: int = import_module(f"pytest_gpt_dist.commands.{given.command}").run(given)
    except UsageError as error:
        print(f"gpt-dist {given.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"gpt-dist {given.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _write_to_nobody() -> None:
    """Let what is still in the buffers go: the interpreter writes it at its end, and would complain."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nobody, stream)
    os.close(nobody)


def build_parser() -> argparse.ArgumentParser:
    """Return what may be typed, as argparse reads it."""
    parser = _Parser(prog="gpt-dist", description="Tools around pytest-gpt-dist.")
    parser.add_argument("--version", action="version", version=f"pytest-gpt-dist {__version__}")
    commands = _actions(parser, "command")

    plan = _add(commands, "plan", "how each strategy would divide a model, without running it")
    plan.add_argument(
        "--model", metavar="NAME", help="preset, folder or hub name (default: that of pytest on this machine)"
    )
    plan.add_argument("--gpus", default=DEFAULT_COUNTS, type=_counts, metavar="N,N", help="device counts")
    plan.add_argument(
        "--dtype", help="number format of the weights (default: that of pytest on this machine)"
    )
    plan.add_argument("--offline", action="store_true", help="never ask the model hub")

    compare = _add(commands, "compare", "verdicts on a saved session against earlier ones")
    compare.add_argument(
        "base", nargs="+", type=Path, metavar="BASE", help="file or folder of earlier sessions"
    )
    compare.add_argument("new", type=Path, metavar="NEW", help="file of the session to be judged")
    compare.add_argument("--fail-on", choices=["regressed"], help="exit with 1 if there is such a verdict")
    compare.add_argument(
        "--min-effect",
        default=MIN_EFFECT,
        type=_share,
        metavar="SHARE",
        help=f"smallest slowdown that matters, as a share of the time (default: {MIN_EFFECT})",
    )
    compare.add_argument("--markdown", action="store_true", help="print tables that GitHub renders")

    init = _add(
        commands,
        "init",
        "write benchmarks and a workflow for a GPU runner into a repository",
        "Write benchmarks/, a conftest.py and a workflow for a GPU runner, and say what is left to do. A file that is"
        " there is never changed; the exit status is 1 if one of them differs from what would have been written.",
    )
    init.add_argument(
        "--path",
        default=Path(),
        type=Path,
        metavar="DIR",
        help="folder of the repository (default: this one)",
    )
    init.add_argument(
        "--install-from",
        metavar="PLACE",
        help="address or folder that the workflow installs pytest-gpt-dist from, such as git+https://…@COMMIT"
        " (default: where this installation came from)",
    )
    _add_dataset(commands)
    _add_report(commands)
    _add_export(commands)
    doctor = _add(
        commands,
        "doctor",
        "what this machine is ready for",
        "Look at GPUs, packages, disks, the hub and real ranks; the exit status is 1 if there is a fault.",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _actions(parser: _Parser, dest: str) -> argparse._SubParsersAction[_Parser]:
    """Let a parser have actions; where none is asked for, its help is what is asked for."""
    parser.set_defaults(asked=parser)
    return parser.add_subparsers(dest=dest, metavar=dest.upper(), parser_class=_Parser)


def _add(
    actions: argparse._SubParsersAction[_Parser], name: str, about: str, description: str | None = None
) -> _Parser:
    """Add an action that says what it does in the list of all, and in its own help, there at more length."""
    parser = actions.add_parser(
        name, help=about, description=description or f"{about[0].upper()}{about[1:]}."
    )
    parser.set_defaults(asked=None)
    return parser


def _add_dataset(commands: argparse._SubParsersAction[_Parser]) -> None:
    dataset = _add(commands, "dataset", "make files of prompts, and search them for faults")
    actions = _actions(dataset, "action")

    generate = _add(actions, "generate", "make a file of prompts from a seed")
    generate.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="PATH",
        help="file, or - for the standard output; with --benchmark, folder",
    )
    generate.add_argument(
        "--samples", default=100, type=int, metavar="N", help="prompts a file (default: 100)"
    )
    generate.add_argument(
        "--distribution",
        metavar="NAME",
        help=f"of the lengths: {', '.join(DISTRIBUTIONS[:-1])} or {DISTRIBUTIONS[-1]} (default: {LENGTHS})",
    )
    generate.add_argument(
        "--min-words",
        type=int,
        metavar="N",
        help=f"shortest prompt (default: {SHORTEST}); not of fixed lengths",
    )
    generate.add_argument(
        "--max-words",
        default=LONGEST,
        type=int,
        metavar="N",
        help=f"longest prompt (default: {LONGEST}); of fixed lengths, all of them",
    )
    generate.add_argument(
        "--new-tokens", type=int, metavar="N", help="tokens to generate for each prompt (default: not said)"
    )
    generate.add_argument(
        "--seed", default=0, type=int, metavar="N", help="the same seed makes the same file (default: 0)"
    )
    generate.add_argument(
        "--benchmark",
        action="store_true",
        help="a family of files, from short prompts to long ones, each of one length",
    )
    generate.add_argument(
        "--num-configs",
        type=int,
        metavar="N",
        help=f"with --benchmark: files of the family (default: {FILES})",
    )

    validate = _add(
        actions,
        "validate",
        "name every fault of files of prompts",
        "Name every fault, with file and line; the exit status is 1 if there is one.",
    )
    validate.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="JSON Lines file of prompts, or - for the standard input",
    )
    validate.add_argument("--model", metavar="NAME", help="say what does not fit this model, too")
    validate.add_argument("--offline", action="store_true", help="with --model: never ask the model hub")


def _add_report(commands: argparse._SubParsersAction[_Parser]) -> None:
    report = _add(commands, "report", "charts, tables and a page of saved sessions")
    report.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="file, or folder of files, that pytest-benchmark saved",
    )
    report.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the files")


def _add_export(commands: argparse._SubParsersAction[_Parser]) -> None:
    export = _add(
        commands,
        "export",
        "saved sessions for github-action-benchmark or Bencher",
        "Write the newest result of each series as JSON for a tracker. github-action-benchmark reads one figure a file:"
        " tokens_per_s as its tool customBiggerIsBetter, ttft_s and latency_s as customSmallerIsBetter. Bencher's"
        " adapter json reads throughput (tokens/s) and latencies (ns) at once. The name of a series tells workload"
        " and machine apart.",
    )
    export.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="file, or folder of files, that pytest-benchmark saved",
    )
    export.add_argument("--format", required=True, choices=FORMATS, help="what reads it")
    export.add_argument(
        "--figure",
        metavar="KEY",
        help="with github-action-benchmark: the figure of each entry, such as ttft_s (default: the throughput)",
    )
    export.add_argument(
        "--output",
        default=Path("-"),
        type=Path,
        metavar="FILE",
        help="file to write, or - for the standard output (default: -)",
    )


def _share(text: str) -> float:
    try:
        require_min_effect(share := float(text))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no number") from None
    return share


def _counts(text: str) -> tuple[int, ...]:
    try:
        return parse_counts(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
