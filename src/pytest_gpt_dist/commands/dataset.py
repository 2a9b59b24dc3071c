"""``gpt-dist dataset``: make files of prompts, and search them for faults."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TextIO

from pytest_gpt_dist.datasets.faults import Fits, find_faults
from pytest_gpt_dist.datasets.generate import FILES, LENGTHS, SHORTEST, Recipe, generate, graded
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.entry_points import tokenize
from pytest_gpt_dist.inference.prompts import find_tokenizer, open_prompts, tokenize_bytes
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.registry import Registry, builtin
from pytest_gpt_dist.terminal.eta import in_words
from pytest_gpt_dist.terminal.status_line import StatusLine

STANDARD_STREAM = Path("-")


def run(given: Namespace) -> int:
    """Do what is asked for; 1 if a file that was searched has a fault, else 0."""
    if given.action == "generate":
        files = _planned(given)
        if given.output == STANDARD_STREAM:
            for line in generate(files[given.output]):
                print(line)
            return 0
        for path in files:
            _refuse_existing(path)
        for path, recipe in files.items():
            _write(path, recipe)
        return 0
    if given.offline and given.model is None:
        raise UsageError("--offline has no effect without --model")
    return _validate(given.files, given.model, offline=given.offline)


def _planned(given: Namespace) -> dict[Path, Recipe]:
    """Return the files to be written. UsageError for an option that would have no effect."""
    if given.num_configs is not None and not given.benchmark:
        raise UsageError("--num-configs has no effect without --benchmark")
    if given.distribution is not None and given.benchmark:
        raise UsageError("--distribution has no effect with --benchmark: each of its files has one length")
    if given.benchmark and given.output == STANDARD_STREAM:
        raise UsageError("--output - is one file, and --benchmark makes several: give a folder")
    fixed = given.distribution == "fixed"
    if given.min_words is not None and fixed:
        raise UsageError("--min-words has no effect on fixed lengths: all of them are --max-words")
    shortest = given.max_words if fixed else SHORTEST if given.min_words is None else given.min_words
    recipe = Recipe(
        given.samples,
        LENGTHS if given.distribution is None else given.distribution,
        shortest,
        given.max_words,
        given.seed,
        given.new_tokens,
    )
    if not given.benchmark:
        return {given.output: recipe}
    family = graded(recipe, FILES if given.num_configs is None else given.num_configs)
    return {
        given.output / f"{number:02}_{part.longest}words.jsonl": part for number, part in enumerate(family, 1)
    }


def _write(path: Path, recipe: Recipe) -> None:
    """Write a file that is not there yet, whole or not at all."""
    aside = path.with_name(f".gpt-dist-{token_hex(8)}.part")
    begun_s = time.monotonic()
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        with StatusLine() as status, aside.open("w", encoding="utf-8") as file:
            for done, line in enumerate(generate(recipe), 1):
                file.write(f"{line}\n")
                left_s = (time.monotonic() - begun_s) / done * (recipe.samples - done)
                status.count(f"{done:,} of {recipe.samples:,} prompts, about {in_words(left_s)} left: {path}")
        _refuse_existing(path)
        aside.rename(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            aside.unlink()
    print(path, flush=True)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError(f"{path} exists: give another --output, or remove it")


def _validate(files: Sequence[Path], model: str | None, *, offline: bool) -> int:
    found = False
    with StatusLine() as status:
        fits = None if model is None else _fits(model, status, offline=offline)
        for file in files:
            piped = file == STANDARD_STREAM
            path = Path("<stdin>") if piped else file
            prompts, faults = find_faults(path, fits, status.count, _standard_input() if piped else None)
            status.clear()
            for fault in faults:
                print(fault)
            found = found or bool(faults)
            if not faults:
                print(f"{path}: {prompts} prompts, no faults", file=sys.stderr)
    return int(found)


def _standard_input() -> TextIO:
    if sys.stdin is None:
        raise UsageError("there is no standard input: give a file")
    return open_prompts(sys.stdin.fileno(), closefd=False)


def _fits(name: str, status: StatusLine, *, offline: bool) -> Fits:
    registry = Registry()
    builtin(registry)
    status.say(f"looking for {name}")
    model = resolve(name, registry, "random", offline=offline)
    size = model.config.dimensions
    folder = find_tokenizer(model.tokenizer)
    if folder is None:
        why = (
            f"{name} has no tokenizer"
            if model.tokenizer is None
            else f"{name}'s tokenizer is not on this machine"
        )
        return Fits(name, size, tokenize_bytes, f" (tokens are UTF-8 bytes: {why})")

    def tokenized(texts: Sequence[str]) -> list[list[int]]:
        status.say(f"{name}'s tokenizer reads {len(texts):,} texts")
        return tokenize(folder, texts)

    return Fits(name, size, tokenized)
