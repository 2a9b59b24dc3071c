"""The rooms of the house: no import runs upwards, types and imports inside functions included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest_gpt_dist

PACKAGE = Path(pytest_gpt_dist.__file__).parent
NAME = "pytest_gpt_dist"
# From the ground up; the rooms of one line are neighbours, of which none imports another.
LEVELS = (
    ("version", "errors"),
    ("bounds", "strict_json", "installation"),
    ("terminal", "config", "git"),
    ("results",),
    ("host",),
    ("telemetry", "cluster"),
    ("parallel",),
    ("registry",),
    ("model",),
    ("measure",),
    ("inference", "training", "collectives", "compare"),
    ("ab", "report"),
    ("session",),
    ("hookspecs",),
    ("plugin", "datasets", "doctor"),
    ("commands",),
    ("cli",),
    ("engines", "grouping"),  # old names of what lies below
    ("",),
)
WITHOUT_INFERENCE = ("session", "measure", "ab")
"""Rooms that know modes, and none by name."""
PUBLIC_FIXTURES = "session/fixtures.py"
"""What a test calls returns results of the modes that the package comes with."""
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def room_of(module: str) -> str:
    """The room that a module is in; a file beside the rooms is one of its own."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports_in(source: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules that a source imports, wherever in it, with their lines."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if is_module(whole) else node.module


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports() -> Iterator[tuple[str, str, str, str]]:
    """Imports of the package's own modules: the place, its file, its room, and what is imported."""
    for path in sorted(set(PACKAGE.rglob("*.py")) - set(PACKAGE.glob("templates/**/*.py"))):
        file = path.relative_to(PACKAGE)
        own = ".".join((NAME, *file.with_suffix("").parts)).removesuffix(".__init__")
        for line, imported in imports_in(ast.parse(path.read_text(encoding="utf-8"))):
            if imported.split(".")[0] == NAME:
                yield f"{file}:{line}", file.as_posix(), room_of(own), imported


def test_no_import_runs_upwards() -> None:
    upward = [
        f"{place} imports {imported}"
        for place, _, room, imported in imports()
        if room != room_of(imported) and LEVEL[room_of(imported)] >= LEVEL[room]
    ]
    assert upward == []


def test_what_runs_cases_of_any_mode_imports_nothing_of_inference() -> None:
    found = [
        f"{place} imports {imported}"
        for place, file, room, imported in imports()
        if room in WITHOUT_INFERENCE and room_of(imported) == "inference" and file != PUBLIC_FIXTURES
    ]
    assert found == []


def test_every_room_has_its_place() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__"} | {""} == LEVEL.keys()


def test_an_import_that_runs_upwards_would_be_found() -> None:
    source = ast.parse("def f():\n    from pytest_gpt_dist.session import items")
    assert [name for _, name in imports_in(source)] == ["pytest_gpt_dist.session.items"]
    assert LEVEL["session"] > LEVEL["measure"]


# What the core must not know, in names and in texts that are no docstrings.
_OF_A_MODE = re.compile(
    r"(?<![a-z])(tokens?|generations?|generated|prompts?|ttft|tpot|itl)(?![a-z])", re.IGNORECASE
)
_KNOWS_NO_MODE = ("measure", "compare", "report", "session", "ab")


def words_of(source: ast.Module) -> Iterator[tuple[int, str]]:
    """Names and texts of a source, docstrings and comments left out, with their lines."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = {id(each.value) for each in ast.walk(source) if isinstance(each, ast.Expr)}
    for node in ast.walk(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node.lineno, node.value
        for name in ("id", "attr", "arg", "name"):
            if isinstance(found := getattr(node, name, None), str) and not isinstance(node, documented[:1]):
                yield getattr(node, "lineno", 0), found


def test_the_core_names_nothing_of_a_mode() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line} names {word!r}"
        for room in _KNOWS_NO_MODE
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() != PUBLIC_FIXTURES
        for line, word in words_of(ast.parse(path.read_text(encoding="utf-8")))
        if _OF_A_MODE.search(word.replace("_", " "))
    ]
    assert found == []


def test_a_core_that_names_tokens_would_be_found() -> None:
    source = ast.parse('"""Of tokens."""\ntokens_per_s = 1\nprint("tokens/s")')
    words = [word for _, word in words_of(source) if _OF_A_MODE.search(word.replace("_", " "))]
    assert words == ["tokens_per_s", "tokens/s"]
