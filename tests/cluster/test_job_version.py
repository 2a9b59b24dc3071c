"""Two versions of the package may meet in an A/B: what they tell each other has versions of its own."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, make_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from pytest_gpt_dist.cluster import messages
from pytest_gpt_dist.cluster.about import JOB_VERSION, modules_below
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.cluster.wire import PROTOCOL_VERSION
from pytest_gpt_dist.inference import entry_points, worker
from pytest_gpt_dist.measure import entry_points as core_entry_points
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.training import entry_points as training_entry_points
from pytest_gpt_dist.training import worker as training_worker

# When one of these changes, raise its version and put the new pair here.
KNOWN_JOBS = (13, "dd776c7ec8289349")
KNOWN_MESSAGES = (7, "2254b3b707dd1e5d")

PLAIN = (int, float, str, bool, bytes, NoneType, list, tuple, dict)


def in_full(hint: Any) -> str:
    """A type as it is written with the full names of all classes, the same in every version of Python."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"Literal{sorted(map(repr, inner))}"
    if origin in (Union, UnionType):
        return " | ".join(sorted(map(in_full, inner)))
    if inner:
        return f"{in_full(origin)}[{', '.join(map(in_full, inner))}]"
    return "..." if hint is Ellipsis else f"{hint.__module__}.{hint.__qualname__}"


def spoken(hints: Iterable[Any], seen: set[Any] | None = None) -> Iterator[str]:
    """A line for each class, and each of its fields, that values of these types bring along, however deep."""
    seen = set() if seen is None else seen
    for hint in hints:
        if get_origin(hint) is Literal or hint is Ellipsis or hint in PLAIN or hint in seen:
            continue
        if inner := get_args(hint):
            yield from spoken(inner, seen)
            continue
        seen.add(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            yield f"{in_full(hint)}: {[(member.name, member.value) for member in hint]}"
            continue
        assert is_dataclass(hint), f"nobody sees what a {hint} brings along"
        yield in_full(hint)
        kinds = get_type_hints(hint)
        for field in fields(hint):
            yield f"{in_full(hint)}.{field.name}: {in_full(kinds[field.name])}"
        yield from spoken((kinds[field.name] for field in fields(hint)), seen)


def called(functions: Iterable[Callable[..., Any]]) -> Iterator[str]:
    """A line for each function with its types, and those of all that its arguments and result bring along."""
    seen: set[Any] = set()
    for function in functions:
        hints = get_type_hints(function)
        yield f"{in_full(function)}: { {name: in_full(hint) for name, hint in hints.items()} }"
        yield from spoken(hints.values(), seen)


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def defined_in(module: Any, kind: Callable[[Any], bool]) -> list[Any]:
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    return [value for value in own if kind(value)]


def test_a_changed_job_has_raised_the_version() -> None:
    functions = [
        function
        for module in (entry_points, core_entry_points, training_entry_points)
        for function in defined_in(
            module, lambda value: callable(value) and not value.__name__.startswith("_")
        )
    ]
    registry = Registry()
    builtin(registry)
    engines = {registry.engine_path(name).partition(":")[0] for name in registry.engines}
    for handing_on in (core_entry_points.run_job, core_entry_points.run_profiled_job):
        functions.remove(handing_on)  # what a mode's own function takes and returns
    functions += [worker.run_case, training_worker.run_case, modules_below]
    lines = [*called(functions), *sorted(engines)]
    assert (JOB_VERSION, digest(lines)) == KNOWN_JOBS, "\n".join(lines)


def test_a_changed_message_has_raised_the_version() -> None:
    lines = list(spoken([*defined_in(messages, is_dataclass), Progress]))
    assert (PROTOCOL_VERSION, digest(lines)) == KNOWN_MESSAGES, "\n".join(lines)


class Colour(Enum):
    RED = 1


def described(inner: Any, *, name: str = "Inner", module: str = "here") -> str:
    """The digest of a job that holds, two classes deep, a field of this type."""
    nested = make_dataclass(name, [("value", inner)], namespace={"__module__": module})
    middle = make_dataclass("Middle", [("parts", dict[str, tuple[nested | None, ...]])])  # type: ignore[valid-type]
    return digest(spoken([make_dataclass("Job", [("middle", middle)])]))


def test_a_change_deep_inside_is_seen() -> None:
    known = described(int)
    assert described(int) == known
    seen = {
        known,
        described(float),
        described(int | None),
        described(Literal["a"]),
        described(Literal["a", "b"]),
        described(Colour),
        described(int, name="Other"),
        described(int, module="elsewhere"),
    }
    assert len(seen) == 8


def test_what_cannot_be_looked_into_may_not_travel() -> None:
    with pytest.raises(AssertionError, match="nobody sees"):
        described(complex)
