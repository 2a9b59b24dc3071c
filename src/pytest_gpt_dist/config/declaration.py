"""How an option is declared: its meaning, its default, what it may be, and how its text is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal

from pytest_gpt_dist.bounds import MOST_DEVICES, device_count
from pytest_gpt_dist.config.given import Given

_LARGEST_SIZE = 2**50
_LARGEST_INTEGER = 10**6
IniType = Literal["string", "bool", "int", "float"]
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as ``8GiB``, ``500MB`` or ``1073741824``."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?", text.strip().lower())
    size = float(match[1]) * _UNITS[match[2]] if match is not None and match[2] in _UNITS else 0.0
    if not 1 <= size <= _LARGEST_SIZE:
        raise ValueError("expected a size such as 8GiB or 500MB")
    return int(size)


def parse_counts(text: str) -> tuple[int, ...]:
    """Device counts of a list such as ``1,2,4``, ascending and without repeats."""
    try:
        counts = {device_count(int(part)) for part in text.split(",")}
    except ValueError:
        raise ValueError(f"expected device counts such as 1,2,4, none above {MOST_DEVICES:,}") from None
    return tuple(sorted(counts))


def parse_names(text: str) -> tuple[str, ...]:
    """Names of a comma-separated list, in the order given, without repeats."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ValueError("expected names separated by commas")
    return names


KINDS = {"int": "a whole number", "float": "a number", "string": "a text", "bool": "True or False"}


@dataclass(frozen=True)
class Declaration:
    """How one option is written, read and checked.

    One that ``sweeps`` takes several values on the command line, separated by commas: a matrix for each of them.
    """

    help: str
    ini: IniType = "string"
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    metavar: str | None = None
    sweeps: bool = False

    def check(self, value: Any) -> Any:
        """Return the parsed value, or ValueError with what was expected."""
        if isinstance(value, str) and not value:
            raise ValueError("expected something")
        if self.ini == "string" and isinstance(value, str):
            value = self.parse(value)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError("expected a finite number")
        if self.choices and value not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"expected at least {self.minimum:g}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"expected more than {self.above:g}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"expected at most {self.maximum:,}")
        return value


def option(default: Any, help: str, **how: Any) -> Any:
    """Return a field of a section: an option with its default."""
    return dataclasses.field(default=default, metadata={"declaration": Declaration(help, **how)})


def integer(
    default: int | None, help: str, minimum: int = 1, maximum: int = _LARGEST_INTEGER, **how: Any
) -> Any:
    """Return a field of a section: a whole number within bounds."""
    return option(default, help, ini="int", minimum=minimum, maximum=maximum, metavar="N", **how)


@dataclass(frozen=True)
class Section:
    """Options of one subject; ``title`` is that in documents. ``None`` means the default of the device or prompt."""

    title: ClassVar[str]

    given: Mapping[str, Given] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """How each option was given that was; what is made in code has none."""

    def source(self, name: str) -> str:
        """Return what a message names that is about an option: its flag, or the ini key that gave it."""
        return self._how(name).source

    def written(self, name: str, value: object = None) -> str:
        """Return the same with the value: ``value`` where it is not the text that was given."""
        how = self._how(name)
        if value is not None:
            return how.of(value)
        return how.written if how.value is not None else how.of(_text(getattr(self, name)))

    def _how(self, name: str) -> Given:
        return self.given.get(name) or Given(flag(name))


def flag(name: str) -> str:
    """Return the command-line flag of a field, ``--gpt-batch-size`` for ``batch_size``."""
    return "--gpt-" + name.replace("_", "-")


def _text(value: Any) -> str | None:
    """Return a value as it is written on the command line; None of what is switched on."""
    if value is True:
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
