"""What pytest's items tell of themselves, and of the case that they are to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.config.sections import DEGREES, MATRIX
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.registry import DEFAULT_MODE

_CASE = "gpt_dist"
_IN_MATRIX = "gpt_dist_matrix"


def runs_cases(item: pytest.Item) -> bool:
    """Whether the item asks for ``gpt_dist``, so that it may have figures."""
    return _CASE in getattr(item, "fixturenames", ())


def is_named(path: Path, config: pytest.Config) -> bool:
    """Return whether the command line names this very file, or a test of it."""
    base = config.invocation_params.dir
    return any(Path(base, name.partition("::")[0]).resolve() == path.resolve() for name in config.args)


def mode_of_matrix(item: pytest.Item) -> str | None:
    """Return the mode whose matrix the test is parametrized with, None where it is with none.

    UsageError where its marker says anything else.
    """
    marker = item.get_closest_marker(_IN_MATRIX)
    if marker is None:
        return None
    if marker.args or marker.kwargs.keys() - {"mode"}:
        given = quoted(marker.args or marker.kwargs)
        raise UsageError(
            f'marker {_IN_MATRIX} takes the name of a mode only, such as mode="inference"; got {given}'
        )
    mode = marker.kwargs.get("mode", DEFAULT_MODE)
    if not isinstance(mode, str):
        raise UsageError(f"mode={quoted(mode)}: expected the name of a mode")
    return mode


def arguments_of(item: pytest.Item, given: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return what a test says of a case: what is ``given`` in code, then its marker, then its parameters of ``names``.

    The matrix has said in the test's id which case it is, so the marker cannot change what it chose.
    """
    marker = item.get_closest_marker(_CASE)
    if marker is not None and marker.args:
        raise UsageError(f"marker {_CASE} takes keywords only, such as gpus=4; got {quoted(marker.args)}")
    callspec = getattr(item, "callspec", None)
    parameters = {name: value for name, value in callspec.params.items() if name in names} if callspec else {}
    in_matrix = item.get_closest_marker(_IN_MATRIX) is not None
    chosen = {name: parameters[name] for name in MATRIX if in_matrix and name in parameters}
    merged: dict[str, Any] = {**parameters, **(marker.kwargs if marker else {}), **chosen, **given}
    if "strategy" not in given and any(degree in given for degree in DEGREES):
        merged.pop("strategy", None)
    return merged


def engine_of(item: pytest.Item) -> str | None:
    """Return the engine that the item was parametrized with."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("engine")


def other_engines(item: pytest.Item) -> list[str]:
    """Return the engines of items that are to run after this one and differ from it in their engine alone."""
    items = item.session.items
    own = _but_engine(item)
    return [
        engine
        for other in items[items.index(item) + 1 :]
        if (engine := engine_of(other)) is not None
        and getattr(other, "originalname", None) == getattr(item, "originalname", None)
        and other.parent is item.parent
        and _but_engine(other) == own
    ]


def _but_engine(item: pytest.Item) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an item's parameters and what its marker says, its engine left out."""
    marker = item.get_closest_marker(_CASE)
    said = dict(marker.kwargs) if marker is not None else {}
    return item.callspec.params | {"engine": None}, said | {"engine": None}  # type: ignore[attr-defined]
