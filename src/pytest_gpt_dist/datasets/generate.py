"""Prompts made from a seed: as many as wanted, of lengths that follow a distribution."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, exp, log, pi, sqrt
from random import Random
from typing import Literal, get_args

from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.inference.prompts import MOST_NEW_TOKENS, shipped_prompts

Distribution = Literal["fixed", "uniform", "normal", "lognormal"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)
LENGTHS: Distribution = "uniform"
SHORTEST, LONGEST = 8, 128
"""Words, unless others are asked for: so many are below 960 bytes, and fit 1,024 positions without a tokenizer, too."""
FILES = 5
_SPREAD = 6
"""Standard deviations from the shortest length to the longest, of `normal`, and of `lognormal` on logarithms."""
_MOST_TRIES = 1000
_NEVER_ALIKE = 16
"""Words from which on no two prompts are ever alike: of 288 words there are more than 10**39 such texts."""
MOST_SAMPLES = 10**6
MOST_WORDS = 10**6
MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make. Lengths are in words; `fixed` makes all of them ``longest``.

    UsageError for what cannot be made.
    """

    samples: int
    distribution: Distribution
    shortest: int
    longest: int
    seed: int = 0
    new_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise UsageError(
                f"distribution {quoted(self.distribution)}: choose one of {', '.join(DISTRIBUTIONS)}"
            )
        _check("samples", self.samples, 1, MOST_SAMPLES)
        _check("words in the shortest prompt", self.shortest, 1, MOST_WORDS)
        _check("words in the longest prompt", self.longest, self.shortest, MOST_WORDS)
        _check("new tokens", 1 if self.new_tokens is None else self.new_tokens, 1, MOST_NEW_TOKENS)
        if self.seed < 0:
            raise UsageError(f"seed {quoted(self.seed)}: expected at least 0")


def generate(recipe: Recipe) -> Iterator[str]:
    """Lines of a prompt file, no two prompts alike. The same recipe makes the same lines everywhere.

    UsageError where there are not as many different prompts of these lengths.
    """
    random = Random(recipe.seed)
    words = _words()
    made: set[str] = set()
    for _ in range(recipe.samples):
        for _ in range(_MOST_TRIES):
            length = _length(recipe, random)
            text = " ".join(words[_below(random, len(words))] for _ in range(length))
            if length >= _NEVER_ALIKE:
                break
            if text not in made:
                made.add(text)
                break
        else:
            raise UsageError(
                f"there are hardly {recipe.samples} different prompts of {recipe.shortest} to {recipe.longest} words:"
                " ask for fewer, or for longer ones"
            )
        entry = {"prompt": text}
        yield json.dumps(entry if recipe.new_tokens is None else entry | {"max_length": recipe.new_tokens})


def graded(recipe: Recipe, count: int) -> list[Recipe]:
    """Return a family of ``count`` recipes from short prompts to long ones, each of one length and a seed of its own.

    The lengths grow by equal factors, so that a curve over them has its points evenly on a logarithmic axis.
    """
    _check("files of a family", count, 2, MOST_FILES)
    factor = (recipe.longest / recipe.shortest) ** (1 / (count - 1))
    lengths = [round(recipe.shortest * factor**step) for step in range(count)]
    if len(set(lengths)) < count:
        raise UsageError(
            f"{count} files between {recipe.shortest} and {recipe.longest} words would repeat lengths: ask for"
            " fewer, or for a wider range"
        )
    return [
        Recipe(recipe.samples, "fixed", length, length, recipe.seed + step, recipe.new_tokens)
        for step, length in enumerate(lengths)
    ]


def _check(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{quoted(value)} {what}: expected from {least:,} to {most:,}")


def _words() -> list[str]:
    """Return the different words of the prompts that come with the package, in the order in which they appear."""
    texts = [prompt.text or "" for prompt in shipped_prompts()]
    return list(dict.fromkeys(word for text in texts for word in text.split()))


def _length(recipe: Recipe, random: Random) -> int:
    """Return a length between the shortest and the longest; what falls outside of them is drawn again."""
    shortest, longest = recipe.shortest, recipe.longest
    match recipe.distribution:
        case "fixed":
            return longest
        case "uniform":
            return shortest + _below(random, longest - shortest + 1)
        case "normal":
            low, high = float(shortest), float(longest)
        case "lognormal":
            low, high = log(shortest), log(longest)
    while True:
        value = (low + high) / 2 + (high - low) / _SPREAD * _normal(random)
        length = round(exp(value) if recipe.distribution == "lognormal" else value)
        if shortest <= length <= longest:
            return length


def _below(random: Random, limit: int) -> int:
    """Return a whole number below a limit; only ``Random.random`` is promised to be the same in every Python."""
    return int(random.random() * limit)


def _normal(random: Random) -> float:
    """Return a standard normal value, by Box and Muller (1958)."""
    return sqrt(-2 * log(1 - random.random())) * cos(2 * pi * random.random())
