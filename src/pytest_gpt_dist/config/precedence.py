"""Which option counts where one on the command line and one of an ini file exclude each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from pytest_gpt_dist.config.sections import DEGREES
from pytest_gpt_dist.config.settings import Options

_OTHER_SIDE = ("against", "gate", "null_control")


@dataclass(frozen=True)
class _Rivals:
    """Two kinds of options, and whether they exclude each other as they were given."""

    one: tuple[str, ...]
    other: tuple[str, ...]
    clash: Callable[[Options], bool]


_RIVALS = (
    _Rivals(("gpus",), DEGREES, lambda asked: _disagree(asked.gpus, asked.degrees)),
    _Rivals(("baseline",), _OTHER_SIDE, lambda asked: asked.baseline and asked.against is not None),
    _Rivals(("launches",), _OTHER_SIDE, lambda asked: asked.launches > 1 and asked.against is not None),
    _Rivals(
        ("batching",),
        ("token_budget",),
        lambda asked: asked.token_budget is not None and asked.batching != "token-budget",
    ),
    _Rivals(("share_gpu",), ("device",), lambda asked: asked.share_gpu and asked.device == "cpu"),
)


def settled(options: Options) -> Options:
    """Return the options without those of an ini file that the command line outdoes by one of another kind."""
    for rivals in _RIVALS:
        if rivals.clash(options):
            outdone = [
                name
                for weak, strong in ((rivals.one, rivals.other), (rivals.other, rivals.one))
                if any(_is_given(options, name, in_ini=False) for name in strong)
                for name in weak
                if _is_given(options, name, in_ini=True)
            ]
            options = _without(options, outdone)
    return options


def _is_given(options: Options, name: str, *, in_ini: bool) -> bool:
    return name in options.given and (options.given[name].file is not None) is in_ini


def _without(options: Options, names: list[str]) -> Options:
    defaults = Options()
    changes = {name: getattr(defaults, name) for name in names}
    given = {name: how for name, how in options.given.items() if name not in names}
    return dataclasses.replace(options, **changes, given=given)


def _disagree(gpus: tuple[int, ...] | None, degrees: tuple[int, int, int] | None) -> bool:
    return gpus is not None and degrees is not None and gpus != (prod(degrees),)
