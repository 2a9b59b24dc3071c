"""What is wrong with a file of prompts: every fault, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, one_line
from pytest_gpt_dist.inference.prompts import Prompt, Tokenize, parse_line, read_lines
from pytest_gpt_dist.inference.workload import Workload, build_requests
from pytest_gpt_dist.parallel import Dimensions

_TOKENIZED_AT_ONCE = 50_000
"""Texts: loading a tokenizer should not show beside them, nor their tokens fill the memory."""
Watch = Callable[[str], None]
_Fault = tuple[int, str]
"""The line's place among those that are not blank, for the order of the file; and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Fits:
    """What prompts have to fit: a model's vocabulary and context, by its tokenizer.

    ``of_texts`` says what the tokens of a text are where they are not those of the model's own tokenizer.
    """

    model: str
    size: Dimensions
    tokenize: Tokenize
    of_texts: str = ""


def find_faults(
    path: Path, fits: Fits | None = None, watch: Watch = lambda text: None, file: TextIO | None = None
) -> tuple[int, list[str]]:
    """Return the number of prompts in a JSON Lines file, and a line with file and place for each fault.

    ``watch`` is told how far it is. A file that cannot be read has that fault. ``file`` is one that is open already,
    which ``path`` then is the name of.
    """
    prompts: dict[int, Prompt] = {}
    faults: list[_Fault] = []
    number = 0
    try:
        for number, (where, line) in enumerate(read_lines(path, file), 1):
            watch(f"{number:,} lines read: {path}")
            try:
                prompts[number] = parse_line(line, where)
            except UsageError as error:
                faults.append((number, str(error)))
    except UsageError as error:
        faults.append((number + 1, str(error)))
    faults += _repeats(prompts)
    if fits is not None:
        faults += _misfits(
            prompts, fits, lambda done: watch(f"{done:,} of {len(prompts):,} prompts measured: {path}")
        )
    return len(prompts), [one_line(fault, 2 * LONGEST_PATH) for _, fault in sorted(faults, key=itemgetter(0))]


def _repeats(prompts: Mapping[int, Prompt]) -> Iterator[_Fault]:
    first: dict[tuple[str | None, tuple[int, ...] | None], str] = {}
    for number, prompt in prompts.items():
        earlier = first.setdefault((prompt.text, prompt.token_ids), prompt.where)
        if earlier != prompt.where:
            yield number, f"{prompt.where}: the same prompt as in {earlier}"


def _misfits(prompts: Mapping[int, Prompt], fits: Fits, measured: Callable[[int], None]) -> Iterator[_Fault]:
    """Prompts that a session with this model would refuse, in its words."""
    alone = Workload(fits.model, "float32", prompts=())
    numbered = list(prompts.items())
    for begin in range(0, len(numbered), _TOKENIZED_AT_ONCE):
        part = numbered[begin : begin + _TOKENIZED_AT_ONCE]
        texts = [prompt.text for _, prompt in part if prompt.text is not None]
        tokenized = iter(fits.tokenize(texts) if texts else [])
        for done, (number, prompt) in enumerate(part, begin + 1):
            measured(done)
            ids = prompt.token_ids if prompt.text is None else tuple(next(tokenized))
            known = replace(prompt, text=None, token_ids=ids)
            try:
                build_requests(alone, [known], 1, fits.size, fits.tokenize)
            except UsageError as error:
                yield number, f"{error}{'' if prompt.text is None else fits.of_texts}"
