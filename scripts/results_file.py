"""The file of a script's results, which an interrupted run continues."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_gpt_dist.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Measurements(Protocol):
    """What was measured, of which setting and where."""

    @property
    def setting(self) -> Any:
        """What was asked for."""
        ...

    @property
    def machine(self) -> dict[str, str | int]:
        """Where it was measured."""
        ...


M = TypeVar("M", bound=Measurements)


def results_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the arguments that every script has which writes such a file: ``--output`` and ``--table``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file of the results, continued if it exists")
    parser.add_argument("--table", type=Path, help="print the tables of a file of results")
    return parser


def write_results(file: Path, results: DataclassInstance) -> None:
    """Put the results on disk."""
    file.write_text(json.dumps(asdict(results), indent=1) + "\n")


def continued(file: Path, empty: M, read: Callable[[Path], M]) -> M:
    """Return what the file has of the setting and machine of ``empty``; UsageError where it is of another."""
    if not file.exists():
        return empty
    found = read(file)
    if (found.setting, found.machine) != (empty.setting, empty.machine):
        raise UsageError(f"{file}: its setting or machine is another; choose another file, or remove it")
    return found
