"""The pages that are written from the code, so that they cannot drift from it: `python docs/generate.py`."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pytest_gpt_dist.cli import build_parser
from pytest_gpt_dist.config.declaration import Declaration, flag
from pytest_gpt_dist.config.sections import SECTIONS
from pytest_gpt_dist.config.settings import Options, declarations, section_declarations
from pytest_gpt_dist.inference.cases import ARGUMENTS
from pytest_gpt_dist.measure.arguments import TIMING
from pytest_gpt_dist.results.metrics import Metric
from pytest_gpt_dist.results.result_format import format_of

REFERENCE = Path(__file__).parent / "reference"
_NOTICE = "<!-- Written by docs/generate.py. Change the declarations in the code, and run it again. -->"
_KINDS = {"int": "whole number", "float": "number", "string": "text", "bool": "switch"}
_DEFAULT = re.compile(r" *\(default: ([^()]*)\)$")


def options_page() -> str:
    """Every option: flag, ini key, what it takes, default, meaning; a table a group."""
    sections = []
    for section in SECTIONS:
        rows = [_option(name, how) for name, how in section_declarations(section)]
        sections += [
            f"## {section.title.capitalize()}",
            _table(("option", "ini key", "takes", "default", "meaning"), rows),
        ]
    names = {name for name, _ in declarations()}
    return _page(
        "Options",
        "Each option is a flag of `pytest` and a key of its ini file (`pyproject.toml`, `pytest.ini`, `tox.ini`);"
        " the command line wins. A wrong value ends the session in one line, with exit status 4, before"
        " anything is measured; workers of xdist find what takes a model or an engine to tell, and fail its cases.",
        "Flags that sweep take several values, separated by commas: the matrix has its cases for each of them, and for"
        " each combination where there are several such flags. An ini key holds one value.",
        *sections,
        "## As arguments",
        "`gpt_dist.run` and the marker `gpt_dist` take these by name, with the same rules:",
        ", ".join(f"`{name}`" for name in (*ARGUMENTS, *TIMING) if name in names) + ".",
        "Besides, they take `strategy` and `min_effect`, and `gpus` is one number. See [fixtures](fixtures.md).",
        "`gpt_dist.train` takes those of training without `train_`, and `model`, `weights`, `dtype`, `seed`, the"
        " degrees and how a case is timed.",
    )


def commands_page() -> str:
    """Every command of ``gpt-dist`` with its arguments."""
    return _page(
        "Commands",
        "`gpt-dist` comes with the package. Wrong usage is one line and exit status 4, as in pytest.",
        *(part for about, parser in parsers(build_parser()) for part in _command(parser, about)),
    )


def saved_keys_page() -> str:
    """Every entry of ``extra_info``."""
    tables = []
    for mode in ("inference", "training"):
        rows = [(f"`{key.name}`", key.unit, _meaning(key)) for key in format_of({"mode": mode}).metrics]
        tables += [f"## {mode.capitalize()}", _table(("key", "unit", "meaning"), rows)]
    return _page(
        "Saved keys",
        "What a case's `extra_info` holds in the JSON that pytest-benchmark saves, and in `Result.extra_info`. A"
        " figure that could not be measured is `null`, never 0. [Metrics](../metrics.md) has the formulas.",
        *tables,
    )


PAGES: dict[str, Callable[[], str]] = {
    "options.md": options_page,
    "commands.md": commands_page,
    "saved-keys.md": saved_keys_page,
}


def _meaning(key: Metric) -> str:
    return f"{key.meaning} (only with `{key.only_with}`)" if key.only_with else key.meaning


def _option(name: str, how: Declaration) -> tuple[str, ...]:
    value = "" if how.ini == "bool" else f"={how.metavar or 'NAME'}"
    given = _DEFAULT.search(how.help)
    default = given[1] if given is not None else _default(name)
    return f"`{flag(name)}{value}`", f"`gpt_{name}`", _takes(how), default, _DEFAULT.sub("", how.help)


def _takes(how: Declaration) -> str:
    several = ["several: a sweep"] if how.sweeps else []
    if how.choices:
        return ", ".join([*(f"`{choice}`" for choice in how.choices), *several])
    bounds = (("above", how.above), ("at least", how.minimum), ("at most", how.maximum))
    said = [f"{words} {bound:,}".removesuffix(".0") for words, bound in bounds if bound is not None]
    return ", ".join([_KINDS[how.ini], *said, *several])


def _default(name: str) -> str:
    (default,) = (field.default for field in dataclasses.fields(Options) if field.name == name)
    if default is False:
        return "off"
    return "" if default in (None, ()) else str(default)


def parsers(
    parser: argparse.ArgumentParser, about: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield what each command is about, and its parser; of a command that has actions, those of the actions."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield about, parser
    for group in groups:
        for listed in group._choices_actions:
            yield from parsers(group.choices[listed.dest], listed.help or "")


def _command(parser: argparse.ArgumentParser, about: str) -> Iterator[str]:
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    usage = " ".join([parser.prog, *map(_usage, actions)])
    rows = [(f"`{_spelled(action)}`", _help(action)) for action in actions]
    yield f"## {parser.prog}"
    yield f"```text\n{usage}\n```"
    yield parser.description or f"{about[:1].upper()}{about[1:]}."
    if rows:
        yield _table(("argument", "meaning"), rows)


def _usage(action: argparse.Action) -> str:
    """One argument as it stands in a usage line; what may be left out in brackets."""
    spelled = _spelled(action) + ("…" if action.nargs in ("+", "*") else "")
    return spelled if action.required else f"[{spelled}]"


def _spelled(action: argparse.Action) -> str:
    name = action.metavar or "|".join(action.choices or ()) or action.dest.upper()
    if not action.option_strings:
        return str(name)
    return action.option_strings[-1] + ("" if action.nargs == 0 else f" {name}")


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _NOTICE, *parts]) + "\n"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    for page, write in PAGES.items():
        (REFERENCE / page).write_text(write())
