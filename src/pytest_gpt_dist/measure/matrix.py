"""Which cases the options ask for, and their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.parallel import Layout

DEFAULT_ENGINE = "native"


@dataclass(frozen=True)
class MatrixCase:
    """One parameter set of the matrix: a strategy (or a layout's id) on a device count with an engine."""

    gpus: int
    strategy: str
    engine: str
    id: str


def matrix(options: Options, strategies: Sequence[str], label: str = "") -> list[MatrixCase]:
    """Return the cases in the order they run: by device count, then strategy, then engine.

    One device has one way of being used, so its only strategy is the first. Degrees given outright
    replace the matrix by the one layout that they describe. ``label`` is in each id: what differs from the
    default workload.
    """
    if options.degrees is not None:
        layout = Layout(*options.degrees)
        chosen = [(layout.world_size, layout.id)]
    else:
        chosen = [
            (gpus, name) for gpus in options.counts for name in (strategies if gpus > 1 else strategies[:1])
        ]
    return [
        MatrixCase(gpus, strategy, engine, _case_id(gpus, strategy, label, engine))
        for gpus, strategy in chosen
        for engine in options.engine
    ]


def _case_id(gpus: int, strategy: str, label: str, engine: str) -> str:
    parts = [f"{gpus}gpu", strategy, label, "" if engine == DEFAULT_ENGINE else engine]
    return "-".join(part for part in parts if part)
