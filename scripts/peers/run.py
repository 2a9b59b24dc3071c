"""The native engine beside its peers: the same work on the same cores, launches in turns, one table.

    python -m scripts.peers.run --output scripts/results/peers_cpu.json
    python -m scripts.peers.run --table scripts/results/peers_cpu.json

    python -m scripts.peers.run --engines native,llama_cpp --models gpt2,smollm2-135m --output FILE

Each configuration is one session of ``pytest benchmarks`` with all engines, so that everything that the plugin
checks is checked here. A file that exists is continued: what it has is not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

from scripts.machine import describe_machine, moment
from scripts.session import run_session
from tabulate import tabulate

ENGINES = ("native", "transformers", "transformers-eager", "ctranslate2")
MODELS = ("gpt2", "gpt2-medium")
DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Configuration:
    """What is generated, and on how many cores."""

    model: str
    dtype: str
    batch_size: int
    cores: int

    def __str__(self) -> str:
        return f"{self.model} {self.dtype} batch {self.batch_size} on {self.cores}"


def configurations(models: Sequence[str] = MODELS) -> Iterator[Configuration]:
    """Those of the table, model after model."""
    for model, cores, dtype, batch_size in product(models, (1, 2), ("float32", "bfloat16"), (1, 4)):
        yield Configuration(model, dtype, batch_size, cores)


def measure(configuration: Configuration, engines: Sequence[str], launches: int) -> dict[str, Any]:
    """One session: what each engine came to, by engine; engines that cannot do it are left out."""
    saved = run_session(
        (
            *("-k", "test_generate and 1gpu", "--gpt-gpus=1"),
            "--gpt-prompt-tokens=256",
            "--gpt-new-tokens=64",
            f"--gpt-batch-size={configuration.batch_size}",
            f"--gpt-model={configuration.model}",
            f"--gpt-dtype={configuration.dtype}",
            f"--gpt-threads-per-rank={configuration.cores}",
            f"--gpt-engine={','.join(engines)}",
            f"--gpt-launches={launches}",
            "--gpt-min-rounds=2",
            "--gpt-timeout=600",
        ),
        deadline_s=DEADLINE_S,
    )
    return {info["engine"]: info for info in saved.values()}


def table(results: Sequence[dict[str, Any]], engines: Sequence[str] = ENGINES) -> str:
    """Markdown: one row for each configuration and engine, with the native engine's lead over it."""
    rows = []
    for result in results:
        ours = result["engines"]["native"]
        for engine in engines:
            info = result["engines"].get(engine)
            if info is None:
                rows.append((*_name(result), engine, "cannot", *[""] * 5))
                continue
            rows.append(
                (
                    *_name(result),
                    engine,
                    f"{info['tokens_per_s']:.1f}",
                    f"{1e3 * info['tpot_s']['mean']:.1f}",
                    "" if info is ours else f"{info['tpot_s']['mean'] / ours['tpot_s']['mean']:.2f}×",
                    f"{1e3 * info['ttft_s']['mean']:.0f}",
                    "" if info is ours else f"{info['ttft_s']['mean'] / ours['ttft_s']['mean']:.2f}×",
                    f"{info['mbu']:.0%}",
                )
            )
    headers = (
        *("model", "dtype", "batch", "cores", "engine", "tokens/s", "TPOT ms"),
        *("÷ native", "TTFT ms", "÷ native", "of bandwidth"),
    )
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def summary(results: Sequence[dict[str, Any]], engines: Sequence[str] = ENGINES) -> str:
    """Return the native engine's lead in time per token over each peer: the least, the median and the most."""
    lines = []
    for engine in engines[1:]:
        leads = sorted(
            result["engines"][engine]["tpot_s"]["mean"] / result["engines"]["native"]["tpot_s"]["mean"]
            for result in results
            if engine in result["engines"]
        )
        if leads:
            lines.append(
                f"{engine}: {leads[0]:.2f} to {leads[-1]:.2f}, median {median(leads):.2f} ({len(leads)})"
            )
    return "\n".join(lines)


def _name(result: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(part) for part in result["configuration"].values())


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file of the results, continued if it exists")
    parser.add_argument("--table", type=Path, help="print the table of a file of results")
    parser.add_argument("--launches", type=int, default=2)
    parser.add_argument("--engines", default=",".join(ENGINES), help="native first, then its peers")
    parser.add_argument("--models", default=",".join(MODELS), help="presets")
    parser.add_argument(
        "--only", default="", help="configurations whose name has this in it, such as 'gpt2 float32'"
    )
    given = parser.parse_args()
    if given.table:
        saved = json.loads(given.table.read_text())
        results, engines = saved["results"], saved["asked"]
        print(table(results, engines), summary(results, engines), sep="\n\n")
        return
    if given.output is None:
        parser.error("--output or --table")
    engines = given.engines.split(",")
    if engines[0] != "native":
        parser.error("--engines: native comes first, because the others are compared with it")
    saved = {"asked": engines, "results": []}
    if given.output.exists():
        saved = json.loads(given.output.read_text())
        if saved["asked"] != engines:
            parser.error(f"{given.output} is of the engines {','.join(saved['asked'])}; choose another file")
    known = [result["configuration"] for result in saved["results"]]
    for configuration in configurations(given.models.split(",")):
        if given.only not in str(configuration) or asdict(configuration) in known:
            continue
        print(configuration, flush=True)
        date, load = moment()
        found = measure(configuration, engines, given.launches)
        saved["results"].append(
            {"configuration": asdict(configuration), "date": date, "load_before": load, "engines": found}
        )
        saved["machine"] = describe_machine()
        given.output.write_text(json.dumps(saved, indent=1) + "\n")
        tokens = {name: round(info["tokens_per_s"], 1) for name, info in found.items()}
        rounds = fmean(len(info["launches"][0]) for info in found.values())
        print(f"  tokens/s: {tokens}; rounds {rounds:.0f}")


if __name__ == "__main__":
    main()
