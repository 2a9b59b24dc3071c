"""What is wrong with a file of prompts: every fault, not only the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.prompts import Prompt, Tokenize, encode, parse_line, read_lines
from pytest_gpt_dist.measure.workload import DEFAULT_NEW_TOKENS


@dataclass(frozen=True, slots=True)
class Fits:
    """What prompts have to fit: a model's vocabulary and context, by its tokenizer."""

    model: str
    vocabulary: int
    positions: int
    tokenize: Tokenize


def find_faults(path: Path, fits: Fits | None = None) -> tuple[int, list[str]]:
    """The number of prompts in a JSON Lines file, and a line with file and place for each fault.

    UsageError where the file cannot be read at all.
    """
    prompts: list[Prompt] = []
    faults: list[str] = []
    for where, line in read_lines(path):
        try:
            prompts.append(parse_line(line, where))
        except UsageError as error:
            faults.append(str(error))
    faults += _repeats(prompts)
    if fits is not None:
        faults += _misfits(prompts, fits)
    if not prompts and not faults:
        faults.append(f"{path}: no prompts in it")
    return len(prompts), sorted(faults, key=_place)


def _repeats(prompts: Sequence[Prompt]) -> list[str]:
    first: dict[tuple[str | None, tuple[int, ...] | None], str] = {}
    faults = []
    for prompt in prompts:
        earlier = first.setdefault((prompt.text, prompt.token_ids), prompt.where)
        if earlier != prompt.where:
            faults.append(f"{prompt.where}: the same prompt as in {earlier}")
    return faults


def _misfits(prompts: Sequence[Prompt], fits: Fits) -> list[str]:
    texts = [prompt.text for prompt in prompts if prompt.text is not None]
    tokenized = iter(fits.tokenize(texts) if texts else [])
    faults = []
    for prompt in prompts:
        ids = prompt.token_ids if prompt.text is None else tuple(next(tokenized))
        try:
            encode([replace(prompt, text=None, token_ids=ids)], fits.tokenize, fits.vocabulary)
        except UsageError as error:
            faults.append(str(error))
            continue
        new_tokens = prompt.new_tokens or DEFAULT_NEW_TOKENS
        assert ids is not None
        if len(ids) + new_tokens > fits.positions:
            faults.append(
                f"{prompt.where}: {len(ids)} tokens and {new_tokens} new ones are too long for {fits.model}, whose"
                f" context is {fits.positions}"
            )
    return faults


def _place(fault: str) -> int:
    """The line that a fault names, for the order of the file."""
    number = fault.partition(": ")[0].rpartition(":")[2]
    return int(number) if number.isdigit() else 0
