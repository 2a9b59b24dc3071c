"""Whether weight-only int8 pays: the products of a decode step of gpt2, by torchao and as the native engine does them.

    pip install --no-deps torchao
    python -m scripts.int8_products --output scripts/results/int8_products_cpu.json
    python -m scripts.int8_products --table scripts/results/int8_products_cpu.json

Every layer has weights of its own, so that each step reads them from memory. The ways take turns; a figure is the
median of the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch
from scripts.machine import describe_machine
from scripts.preset import preset_dimensions
from scripts.results_file import write_results
from tabulate import tabulate

from pytest_gpt_dist.model.packing import linear, pack
from pytest_gpt_dist.parallel import Dimensions

MODEL = "gpt2"
ROWS = (1, 4)
_TURNS = 15
_WARM_UP = 3

Step = Callable[[torch.Tensor], object]


@dataclass(frozen=True)
class Measured:
    """Milliseconds of the products of a decode step, by the way in which they are done."""

    cores: int
    rows: int
    step_ms: dict[str, float]


@dataclass(frozen=True)
class Results:
    """What was measured where."""

    machine: dict[str, str | int]
    torchao: str
    measured: tuple[Measured, ...]


def shapes(size: Dimensions) -> Iterator[tuple[int, int]]:
    """Yield ``[outputs, inputs]`` of the weights of a decode step, in their order."""
    heads = size.heads * size.head_dim
    for _ in range(size.layers):
        yield from (
            (heads + 2 * size.kv_heads * size.head_dim, size.hidden),
            (size.hidden, heads),
            (size.mlp, size.hidden),
            (size.hidden, size.mlp),
        )
    yield size.vocabulary, size.hidden


def steps(size: Dimensions) -> dict[str, Step]:
    """Return the ways: each takes ``[rows, inputs of the widest weight]`` through every product."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_  # noqa: PLC0415

    weights = [torch.randn(shape).bfloat16() for shape in shapes(size)]
    layers = torch.nn.ModuleList()
    for weight in weights:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.bfloat16)
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        layers.append(layer)
    packed = [pack(weight.clone()) for weight in weights]
    widths = [weight.shape[1] for weight in weights]
    quantize_(layers, Int8WeightOnlyConfig(version=2))

    def natively(x: torch.Tensor) -> list[torch.Tensor]:
        return [linear(x[:, :width], weight) for weight, width in zip(packed, widths, strict=True)]

    def quantized(x: torch.Tensor) -> list[torch.Tensor]:
        return [layer(x[:, :width]) for layer, width in zip(layers, widths, strict=True)]

    return {
        "bfloat16, packed": natively,
        "torchao": quantized,
        "torchao, compiled": torch.compile(quantized, dynamic=False),
    }


@torch.inference_mode()
def measure(ways: dict[str, Step], size: Dimensions, cores: int, rows: int) -> Measured:
    """Time every way in turns."""
    x = torch.randn(rows, max(inputs for _, inputs in shapes(size))).bfloat16()
    torch.set_num_threads(cores)
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(_WARM_UP + _TURNS):
        for name, step in ways.items():
            start_s = time.perf_counter()
            step(x)
            if turn >= _WARM_UP:
                taken_s[name].append(time.perf_counter() - start_s)
    return Measured(cores, rows, {name: 1e3 * median(each) for name, each in taken_s.items()})


def table(results: Results) -> str:
    """Markdown: milliseconds of each way, and what the native one takes ÷ what it takes."""
    rows = []
    for each in results.measured:
        native, *others = each.step_ms.values()
        rows.append(
            (each.cores, each.rows, f"{native:.1f}", *(f"{ms:.1f} ({native / ms:.2f}×)" for ms in others))
        )
    headers = ("cores", "rows", *(f"{name}, ms" for name in results.measured[0].step_ms))
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def read_results(file: Path) -> Results:
    """Return the results in a file."""
    saved = json.loads(file.read_text())
    return Results(saved["machine"], saved["torchao"], tuple(Measured(**each) for each in saved["measured"]))


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file of the results")
    parser.add_argument("--table", type=Path, help="print the table of a file of results")
    given = parser.parse_args()
    if given.table:
        print(table(read_results(given.table)))
        return
    if given.output is None:
        parser.error("--output or --table")
    try:
        torchao = version("torchao")
    except PackageNotFoundError:
        parser.exit(4, "torchao is not installed: pip install --no-deps torchao\n")
    size = preset_dimensions(MODEL)
    ways = steps(size)
    available = sorted(os.sched_getaffinity(0))
    measured = []
    for cores in range(1, min(2, len(available)) + 1):
        os.sched_setaffinity(0, available[:cores])
        measured += [measure(ways, size, cores, rows) for rows in ROWS]
    os.sched_setaffinity(0, available)
    results = Results(describe_machine(), torchao, tuple(measured))
    write_results(given.output, results)
    print(table(results))


if __name__ == "__main__":
    main()
