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

from pytest_gpt_dist import __version__
from pytest_gpt_dist.compare.verdict import MIN_EFFECT, require_min_effect
from pytest_gpt_dist.config.settings import DEFAULT_COUNTS, parse_counts
from pytest_gpt_dist.datasets.generate import DISTRIBUTIONS, FILES, LENGTHS, LONGEST, SHORTEST
from pytest_gpt_dist.errors import UsageError, quoted, shortened
from pytest_gpt_dist.results.text import STAND_INS

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
    """What may be typed, as argparse reads it."""
    parser = _Parser(prog="gpt-dist", description="Tools around pytest-gpt-dist.")
    parser.add_argument("--version", action="version", version=f"pytest-gpt-dist {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    plan = commands.add_parser("plan", help="how each strategy would divide a model, without running it")
    plan.add_argument(
        "--model", metavar="NAME", help="preset, folder or hub name (default: that of pytest on this machine)"
    )
    plan.add_argument("--gpus", default=DEFAULT_COUNTS, type=_counts, metavar="N,N", help="device counts")
    plan.add_argument(
        "--dtype", help="number format of the weights (default: that of pytest on this machine)"
    )
    plan.add_argument("--offline", action="store_true", help="never ask the model hub")

    compare = commands.add_parser("compare", help="verdicts on a saved session against earlier ones")
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

    init = commands.add_parser(
        "init",
        help="write benchmarks and a workflow for a GPU runner into a repository",
        description="Write benchmarks/ and a workflow for a GPU runner. A file that is there is never changed;"
        " the exit status is 1 if one of them differs from what would have been written.",
    )
    init.add_argument(
        "--path",
        default=Path(),
        type=Path,
        metavar="DIR",
        help="folder of the repository (default: this one)",
    )
    _add_dataset(commands)
    _add_report(commands)
    doctor = commands.add_parser(
        "doctor",
        help="what this machine is ready for",
        description="Look at GPUs, packages, disks, the hub and real ranks; the exit status is 1 if there is a fault.",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _add_dataset(commands: argparse._SubParsersAction[_Parser]) -> None:
    dataset = commands.add_parser("dataset", help="make files of prompts, and search them for faults")
    actions = dataset.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)

    generate = actions.add_parser("generate", help="make a file of prompts from a seed")
    generate.add_argument(
        "--output", required=True, type=Path, metavar="PATH", help="file; with --benchmark, folder"
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

    validate = actions.add_parser(
        "validate",
        help="name every fault of files of prompts",
        description="Name every fault, with file and line; the exit status is 1 if there is one.",
    )
    validate.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON Lines file of prompts")
    validate.add_argument("--model", metavar="NAME", help="say what does not fit this model, too")
    validate.add_argument("--offline", action="store_true", help="with --model: never ask the model hub")


def _add_report(commands: argparse._SubParsersAction[_Parser]) -> None:
    report = commands.add_parser("report", help="charts, tables and a page of saved sessions")
    report.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="file, or folder of files, that pytest-benchmark saved",
    )
    report.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the files")


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
