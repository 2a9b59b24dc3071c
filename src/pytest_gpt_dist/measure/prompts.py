"""Prompts: where they come from, and how they become token ids of a given length."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError

_KEYS = ("prompt", "input_ids", "max_length")
BYTE_TOKENIZER = "bytes"
Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Prompt:
    """One prompt: a text or token ids, and what it asks for."""

    where: str
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    new_tokens: int | None = None


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """The prompts of a JSON Lines file.

    A line is an object with ``prompt`` (text) or ``input_ids`` (list of token ids), and optionally
    ``max_length``, the number of tokens to generate for it. Blank lines are skipped.
    Raises UsageError with file and line for anything else.
    """
    prompts = tuple(parse_line(line, where) for where, line in read_lines(path))
    if not prompts:
        raise UsageError(
            f'{path}: no prompts in it; give one JSON object a line, such as {{"prompt": "Hello"}}'
        )
    return prompts


def read_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a prompt file that are not blank, each with its place. UsageError where it cannot be read."""
    try:
        if path.is_fifo():
            raise UsageError(f"cannot read prompts from {path}: it is a pipe, give a file")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"cannot read prompts from {path}: {reason}; give a file, or a list for texts"
        ) from None
    return [(f"{path.name}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def shipped_prompts() -> tuple[Prompt, ...]:
    """The 20 prompts that come with the package."""
    return read_prompts(Path(str(files("pytest_gpt_dist") / "measure" / "prompts.jsonl")))


def given_prompts(prompts: Sequence[str | Sequence[int]]) -> tuple[Prompt, ...]:
    """Prompts handed over in code: texts or lists of token ids."""
    if isinstance(prompts, (str, bytes)) or not isinstance(prompts, Sequence) or not prompts:
        raise UsageError("prompts: expected a list of texts or of lists of token ids")
    result = []
    for index, prompt in enumerate(prompts):
        where = f"prompts[{index}]"
        if isinstance(prompt, str):
            result.append(Prompt(where, text=_text(prompt, where)))
        else:
            result.append(Prompt(where, token_ids=_token_ids(prompt, where)))
    return tuple(result)


def encode(prompts: Sequence[Prompt], tokenize: Tokenize, vocabulary: int) -> list[tuple[int, ...]]:
    """Token ids of each prompt; texts are tokenized in one call.

    Raises UsageError for an id outside the vocabulary and for a text without tokens.
    """
    texts = [prompt.text for prompt in prompts if prompt.text is not None]
    tokenized = iter(tokenize(texts) if texts else [])
    encoded = []
    for prompt in prompts:
        ids = prompt.token_ids if prompt.token_ids is not None else tuple(next(tokenized))
        if not ids:
            raise UsageError(f"{prompt.where}: the tokenizer makes no token of this prompt")
        if outside := [token for token in ids if token >= vocabulary]:
            raise UsageError(
                f"{prompt.where}: token id {outside[0]} is outside the model's vocabulary of {vocabulary}"
            )
        encoded.append(ids)
    return encoded


def tokenize_bytes(texts: Sequence[str]) -> list[list[int]]:
    """UTF-8 bytes as token ids, for models whose tokenizer is not at hand."""
    return [list(text.encode("utf-8")) for text in texts]


def fit(token_ids: Sequence[int], length: int | None) -> tuple[int, ...]:
    """The prompt cut, or repeated from its start, to ``length`` tokens; as it is for None."""
    return tuple(token_ids) if length is None else tuple(islice(cycle(token_ids), length))


def parse_line(line: str, where: str) -> Prompt:
    """The prompt of one line of a file, which stands at ``where``. UsageError with what is wrong with it."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON that can be read ({error})") from None
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: expected a JSON object with prompt or input_ids")
    for key in entry:
        near = get_close_matches(key, _KEYS, n=1, cutoff=0.8)
        if key not in _KEYS and near:
            raise UsageError(f"{where}: unknown key {key}; did you mean {near[0]}?")
    new_tokens = entry.get("max_length")
    if new_tokens is not None and not (_is_integer(new_tokens) and new_tokens >= 1):
        raise UsageError(f"{where}: max_length is a whole number of at least 1, got {new_tokens!r}")
    if ("prompt" in entry) == ("input_ids" in entry):
        raise UsageError(f"{where}: expected either prompt or input_ids")
    if "prompt" in entry:
        return Prompt(where, text=_text(entry["prompt"], where), new_tokens=new_tokens)
    return Prompt(where, token_ids=_token_ids(entry["input_ids"], where), new_tokens=new_tokens)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: prompt is a text, got {type(value).__name__}")
    if not value:
        raise UsageError(f"{where}: prompt is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{where}: prompt holds half of a surrogate pair, which is no character") from None
    return value


def _token_ids(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise UsageError(f"{where}: expected a list of token ids, got {type(value).__name__}")
    if not value:
        raise UsageError(f"{where}: the list of token ids is empty")
    for token in value:
        if not _is_integer(token) or token < 0:
            raise UsageError(f"{where}: token ids are whole numbers of at least 0, got {token!r}")
    return tuple(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
