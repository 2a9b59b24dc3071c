"""``gpt-dist dataset``: make files of prompts, and search them for faults."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from pytest_gpt_dist.datasets.faults import Fits, find_faults
from pytest_gpt_dist.datasets.generate import Recipe, generate, graded
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.entry import tokenize
from pytest_gpt_dist.measure.prompts import tokenize_bytes
from pytest_gpt_dist.measure.tokenizers import find_tokenizer
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.registry import Registry, builtin


def run(given: Namespace) -> int:
    """Do what is asked for; 1 if a file that was searched has a fault, else 0."""
    if given.action == "generate":
        return _generate(given)
    return _validate(given.files, given.model, offline=given.offline)


def _generate(given: Namespace) -> int:
    recipe = Recipe(
        given.samples, given.distribution, given.min_words, given.max_words, given.seed, given.new_tokens
    )
    if not given.benchmark:
        _write(given.output, generate(recipe))
        return 0
    for number, part in enumerate(graded(recipe, given.num_configs), 1):
        _write(given.output / f"{number:02}_{part.longest}words.jsonl", generate(part))
    return 0


def _write(path: Path, lines: Iterable[str]) -> None:
    """Write a file that is not there yet."""
    text = "".join(f"{line}\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists: remove it, or give another --output") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    print(path)


def _validate(files: list[Path], model: str | None, *, offline: bool) -> int:
    fits = None if model is None else _fits(model, offline=offline)
    found = False
    for path in files:
        prompts, faults = find_faults(path, fits)
        for fault in faults:
            print(fault)
        found = found or bool(faults)
        if not faults:
            print(f"{path}: {prompts} prompts, no faults", file=sys.stderr)
    return int(found)


def _fits(name: str, *, offline: bool) -> Fits:
    registry = Registry()
    builtin(registry)
    model = resolve(name, registry, None, offline=offline)
    size = model.config.dimensions
    folder = find_tokenizer(model.tokenizer)
    return Fits(
        name,
        size.vocabulary,
        size.positions,
        tokenize_bytes if folder is None else lambda texts: tokenize(folder, texts),
    )
