"""The options as command-line flags and ini keys."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.config.declaration import Declaration, IniType, flag
from pytest_gpt_dist.config.given import Given
from pytest_gpt_dist.config.precedence import settled
from pytest_gpt_dist.config.settings import Options, declarations
from pytest_gpt_dist.errors import UsageError, quoted, shortened


def add_options(parser: pytest.Parser) -> None:
    """Declare each option as a command-line flag and as a typed ini key."""
    group = parser.getgroup("gpt-dist", "distributed GPT benchmarks")
    for name, how in declarations():
        if how.ini == "bool":
            group.addoption(flag(name), action="store_true", default=None, help=how.help)
        else:
            metavar = "|".join(how.choices) or how.metavar
            group.addoption(flag(name), metavar=metavar, default=None, help=how.help.replace("%", "%%"))
        parser.addini(f"gpt_{name}", how.help, type=how.ini, default=None)


def read_options(config: pytest.Config) -> Options:
    """Return the options in force: the command line, else the ini file, else the default.

    The command line wins over a key that its own options exclude, too.

    Raises UsageError, naming the flag or key, for a value that does not fit.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Given] = {}
    sweeps: list[tuple[str, tuple[Any, ...]]] = []
    for name, declared in declarations():
        given = config.getoption(flag(name))
        in_ini = given is None
        how, base = Given(flag(name)), config.invocation_params.dir
        try:
            if in_ini:
                how = _ini_key(config, name)
                base = config.inipath.parent if config.inipath else config.rootpath
                given = config.getini(f"gpt_{name}")
            if given is None:
                continue
            value = None if given is True and not in_ini else _text(given)
            sources[name] = replace(how, value=value)
            several = [given] if in_ini else _values(given, declared)
            checked = tuple(dict.fromkeys(declared.check(each) for each in several))
            values[name] = checked[0]
            if len(checked) > 1:
                sweeps.append((name, checked))
        except (ValueError, TypeError, OverflowError, pytest.UsageError) as error:
            got = "" if given is None else f", got {quoted(given)}"
            raise UsageError(f"{how.source}: {shortened(str(error), 200)}{got}") from None
        if name in ("prompts", "log_dir", "report", "profile") or (
            name == "model" and in_ini and _is_folder(base, values[name])
        ):
            values[name] = str(Path(base, values[name]))
    return settled(Options(**values, sweeps=tuple(sweeps), given=sources))


def _ini_key(config: pytest.Config, name: str) -> Given:
    """Return how an ini key is given: in the file, or in its place by ``-o`` on the command line."""
    key = f"gpt_{name}"
    overridden = config.getoption("override_ini") or ()
    if any(entry.partition("=")[0].strip() == key for entry in overridden):
        return Given(f"-o {key}")
    return Given(key, file=config.inipath.name if config.inipath else "the ini file")


def _text(given: object) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)


def _is_folder(base: Path, model: str) -> bool:
    """Whether a model is a folder's path; a mere name is a preset's."""
    return os.sep in model and os.path.isdir(os.path.join(base, model))


def _values(given: Any, declared: Declaration) -> list[Any]:
    """Return what the command line gives an option: one value, or several of one that sweeps."""
    texts = [text.strip() for text in given.split(",")] if declared.sweeps else [given]
    if declared.ini not in ("int", "float"):
        return texts
    return [_number(text, declared.ini) for text in texts]


def _number(text: str, ini: IniType) -> int | float:
    try:
        return int(text) if ini == "int" else float(text)
    except ValueError:
        raise ValueError("expected a whole number" if ini == "int" else "expected a number") from None
