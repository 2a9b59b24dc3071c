"""Functions and arguments on their way to another process: code by reference, the rest by value.

A reference is a module's name and, unless the module is installed, the file it came from. The file matters
for test modules and conftest.py, which pytest imports in ways of its own: its importlib mode leaves nothing on
sys.path, and its prepend mode gives several files one name.
"""

import importlib.util
import io
import os
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

from pytest_gpt_dist.errors import UsageError, quoted


@dataclass(frozen=True, slots=True)
class ModuleOrigin:
    """Where a module came from: its file (None for a namespace package) and, for a package, its folders."""

    name: str
    file: str | None
    folders: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A pickled object and the modules that it refers to and that are not installed, parents before children."""

    payload: bytes
    modules: tuple[ModuleOrigin, ...]


def pack_call(fn: Callable[..., Any], args: tuple[Any, ...]) -> Parcel:
    """Pack a function and its arguments; UsageError, in one line, when one of them cannot travel."""
    _refuse_unnamed(fn)
    try:
        return pack((fn, args))
    except Exception as error:
        for position, value in enumerate((fn, *args)):
            what = "the function" if position == 0 else f"argument {position} of {_name(fn)}"
            try:
                pack(value)
            except Exception as reason:
                raise UsageError(f"{what} cannot be sent to the ranks: {_one_line(reason)}") from error
        raise UsageError(
            f"{_name(fn)} and its arguments cannot be sent to the ranks: {_one_line(error)}"
        ) from error


def pack_event(event: object) -> Parcel:
    """Pack what a task sends to a rank; UsageError, in one line, when it cannot travel."""
    try:
        return pack(event)
    except Exception as error:
        what = f"the event, a {type(event).__qualname__},"
        raise UsageError(f"{what} cannot be sent to the ranks: {_one_line(error)}") from error


def pack(value: object) -> Parcel:
    """Pack any picklable value."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dump(value)
    return Parcel(buffer.getvalue(), tuple(pickler.origins.values()))


def unpack(parcel: Parcel) -> Any:
    """Import what the parcel refers to and return its content."""
    for origin in parcel.modules:
        _import(origin)
    return pickle.loads(parcel.payload)


class _Pickler(pickle.Pickler):
    """Notes the modules of the functions and classes that it writes down by name."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.origins: dict[str, ModuleOrigin] = {}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)) and isinstance(obj.__module__, str):
            self._note(obj.__module__)
        return NotImplemented

    def _note(self, name: str) -> None:
        if name == "__main__":
            raise pickle.PicklingError(
                "it is defined in the script that is running; move it into a module that the script imports"
            )
        for ancestor in _lineage(name):
            module = sys.modules.get(ancestor)
            if module is not None and ancestor not in self.origins and not _is_installed(ancestor, module):
                self.origins[ancestor] = _origin(ancestor, module)


def _lineage(name: str) -> Iterator[str]:
    """Yield "a", "a.b", "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


_INSTALLED = tuple(
    {sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def _is_installed(name: str, module: ModuleType) -> bool:
    """Return whether any interpreter with the same things installed finds the module by its name alone."""
    if name in sys.builtin_module_names or name.partition(".")[0] == "pytest_gpt_dist":
        return True
    return (getattr(module, "__file__", None) or "").startswith(_INSTALLED)


def _origin(name: str, module: ModuleType) -> ModuleOrigin:
    folders: Iterable[str] | None = getattr(module, "__path__", None)
    return ModuleOrigin(name, getattr(module, "__file__", None), None if folders is None else tuple(folders))


def _import(origin: ModuleOrigin) -> None:
    """Have sys.modules hold this very module: imported if that finds the same file, else read from it."""
    present = sys.modules.get(origin.name)
    if present is not None and (origin.file is None or _same_file(present, origin.file)):
        return
    sys.modules.pop(origin.name, None)
    if present is None:
        spec = _find(origin.name)
        if spec is not None and (origin.file is None or spec.origin == origin.file):
            importlib.import_module(origin.name)
            return
    _load(origin)


def _same_file(module: ModuleType, file: str) -> bool:
    present = getattr(module, "__file__", None)
    return present is not None and os.path.realpath(present) == os.path.realpath(file)


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _load(origin: ModuleOrigin) -> None:
    folders = None if origin.folders is None else list(origin.folders)
    if origin.file is None:
        spec = ModuleSpec(origin.name, None, is_package=True)
        spec.submodule_search_locations = folders or []
    else:
        found = importlib.util.spec_from_file_location(
            origin.name, origin.file, submodule_search_locations=folders
        )
        if found is None:
            raise ImportError(f"{origin.file} is no Python file, so {origin.name} cannot be imported from it")
        spec = found
    module = importlib.util.module_from_spec(spec)
    sys.modules[origin.name] = module
    if spec.loader is None:
        return
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[origin.name]
        raise


def _refuse_unnamed(fn: Callable[..., Any]) -> None:
    if not callable(fn):
        raise UsageError(f"{quoted(fn)} cannot run on the ranks: it is not a function")
    name = getattr(fn, "__qualname__", "")
    if "<lambda>" in name or "<locals>" in name:
        kind = "a lambda" if name.endswith("<lambda>") else f"{_name(fn)}, a function inside a function,"
        raise UsageError(f"{kind} cannot be sent to the ranks{_place(fn)}: define it at the top of a module")


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", repr(fn)).replace("<locals>.", "")


def _place(fn: Callable[..., Any]) -> str:
    code = getattr(fn, "__code__", None)
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
