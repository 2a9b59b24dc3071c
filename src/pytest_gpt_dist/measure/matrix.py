"""Which cases the options ask for, and their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.parallel import Layout

DEFAULT_ENGINE = "native"


@dataclass(frozen=True)
class MatrixCase:
    """One parameter set of the matrix: a strategy (or a layout's id) on a device count with an engine.

    ``arguments`` say which of the swept workloads it is of.
    """

    gpus: int
    strategy: str
    engine: str
    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def combinations(
    options: Options, names: Mapping[str, str], given: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the arguments of each workload that options sweep over; a single empty one where they sweep over none.

    Args:
        options: with what is swept.
        names: the argument that stands for each option; other options are of other modes.
        given: arguments that the test gives itself, which win.
    """
    swept = {
        names[name]: values for name, values in options.sweeps if name in names and names[name] not in given
    }
    return [dict(zip(swept, values, strict=True)) for values in product(*swept.values())]


def matrix(
    options: Options,
    strategies: Sequence[str],
    label: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> list[MatrixCase]:
    """Return the cases in the order they run: by device count, then strategy, then engine.

    One device has one way of being used, so its only strategy is the first. Degrees given outright
    replace the matrix by the one layout that they describe. ``label`` is in each id: what differs from the
    default workload; ``arguments`` are those of the workload where options sweep over several.
    """
    if options.degrees is not None:
        layout = Layout(*options.degrees)
        chosen = [(layout.world_size, layout.id)]
    else:
        chosen = [
            (gpus, name) for gpus in options.counts for name in (strategies if gpus > 1 else strategies[:1])
        ]
    return [
        MatrixCase(gpus, strategy, engine, _case_id(gpus, strategy, label, engine), arguments or {})
        for gpus, strategy in chosen
        for engine in options.engine
    ]


def _case_id(gpus: int, strategy: str, label: str, engine: str) -> str:
    parts = [f"{gpus}gpu", strategy, label, "" if engine == DEFAULT_ENGINE else engine]
    return "-".join(part for part in parts if part)
