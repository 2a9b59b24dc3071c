"""Prompts: where they come from, and how they become token ids of a given length."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TextIO

from pytest_gpt_dist import strict_json
from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.results.text import first_of

_KEYS = ("prompt", "input_ids", "max_length")
# What other tools call the number of tokens to generate, without capitals and signs.
_OTHERS_MAX_LENGTH = (
    *("maxnewtokens", "maxtokens", "maxoutputtokens", "maxcompletiontokens", "newtokens"),
    *("outputtokens", "outputlength", "outputlen", "completiontokens", "generationlength", "genlen"),
    *("maxoutputlength", "maxoutputlen", "maxgentokens", "maxgentoks", "maxgenlen", "numpredict", "npredict"),
)
LONGEST_LINE = 2**24
"""Characters: a million words of a prompt, or two million token ids."""
MOST_NEW_TOKENS = 10**6
BYTE_TOKENIZER = "bytes"
Tokenize = Callable[[Sequence[str]], list[list[int]]]
_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Prompt:
    """One prompt: a text or token ids, and what it asks for."""

    where: str
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    new_tokens: int | None = None


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Return the prompts of a JSON Lines file.

    A line is an object with ``prompt`` (text) or ``input_ids`` (list of token ids), and optionally
    ``max_length``, the number of tokens to generate for it. Blank lines are skipped.
    Raises UsageError with file and line for anything else.
    """
    return tuple(parse_line(line, where) for where, line in read_lines(path))


def open_prompts(path: Path | int, *, closefd: bool = True) -> TextIO:
    """Open a prompt file, or a descriptor of one."""
    # What is not UTF-8 comes through as half surrogates, so that its line can be named.
    return open(path, encoding="utf-8-sig", errors="surrogateescape", closefd=closefd)


def read_lines(path: Path, opened: TextIO | None = None) -> Iterator[tuple[str, str]]:
    """Yield the lines of a prompt file that are not blank, each with its place, as they are read.

    Of a file that is ``opened`` already, ``path`` is the name. UsageError where the file cannot be read, or has no such
    line.
    """
    found = False
    try:
        # A pipe would block, and a device such as /dev/zero never ends.
        if opened is None and path.exists() and not path.is_file():
            raise UsageError(f"cannot read prompts from {path}: it is not a regular file")
        with opened or open_prompts(path) as file:
            for number, line in enumerate(_bounded_lines(file), start=1):
                if line.strip() or len(line) > LONGEST_LINE:
                    found = True
                    yield f"{path}:{number}", line.removesuffix("\n")
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read prompts from {path}: {reason}") from None
    if not found:
        raise UsageError(
            f'{path}: no prompts in it; give one JSON object a line, such as {{"prompt": "Hello"}}'
        )


def _bounded_lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file; of one that is too long no more than shows that it is."""
    while line := file.readline(LONGEST_LINE + 2):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith("\n"):
            line = file.readline(LONGEST_LINE + 2)


def shipped_prompts() -> tuple[Prompt, ...]:
    """Return the 20 prompts that come with the package."""
    return read_prompts(Path(str(files("pytest_gpt_dist") / "inference" / "prompts.jsonl")))


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
    """Return the prompt cut, or repeated from its start, to ``length`` tokens; as it is for None."""
    return tuple(token_ids) if length is None else tuple(islice(cycle(token_ids), length))


def parse_line(line: str, where: str) -> Prompt:
    """Return the prompt of one line of a file, which stands at ``where``. UsageError with what is wrong with it."""
    if len(line) > LONGEST_LINE:
        raise UsageError(f"{where}: longer than {LONGEST_LINE:,} characters, the most that a line may have")
    if line.lstrip().startswith("["):
        raise UsageError(
            f"{where}: a JSON array; give one object a line, without brackets and commas around them"
        )
    try:
        line.encode("utf-8")
        entry = strict_json.loads(line)
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) - 0xDC00
        raise UsageError(f"{where}: not UTF-8 text (byte 0x{byte:02x} at column {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON that can be read ({first_line(error)})") from None
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: expected a JSON object with prompt or input_ids")
    for key in entry:
        if key not in _KEYS and (meant := _meant(key)):
            raise UsageError(f"{where}: unknown key {quoted(key)}; did you mean {meant}?")
    new_tokens = entry.get("max_length")
    if new_tokens is not None and not (_is_integer(new_tokens) and 1 <= new_tokens <= MOST_NEW_TOKENS):
        raise UsageError(
            f"{where}: max_length is a whole number from 1 to {MOST_NEW_TOKENS:,}, got {quoted(new_tokens)}"
        )
    if "prompt" in entry and "input_ids" in entry:
        raise UsageError(f"{where}: prompt and input_ids in one object; give one of them")
    if "prompt" not in entry and "input_ids" not in entry:
        raise UsageError(f"{where}: expected prompt or input_ids, found {_listed(entry)}")
    if "prompt" in entry:
        return Prompt(where, text=_text(entry["prompt"], where), new_tokens=new_tokens)
    return Prompt(where, token_ids=_token_ids(entry["input_ids"], where), new_tokens=new_tokens)


def _listed(entry: dict[str, Any]) -> str:
    return first_of([quoted(key) for key in entry]) or "no key"


def _meant(key: str) -> str | None:
    """Return the key of ours that another one would be mistaken for; None for one that is the user's own business."""
    if "".join(filter(str.isalnum, key.lower())) in _OTHERS_MAX_LENGTH:
        return "max_length"
    return next(iter(get_close_matches(key, _KEYS, n=1, cutoff=0.8)), None)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: prompt is a text, got {type(value).__name__}")
    if not value:
        raise UsageError(f"{where}: prompt is empty")
    if value.isspace():
        raise UsageError(f"{where}: prompt is blank")
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
            raise UsageError(f"{where}: token ids are whole numbers of at least 0, got {quoted(token)}")
    return tuple(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def find_tokenizer(name: str | None) -> str | None:
    """Return the folder of a tokenizer: ``name`` itself, or that of the hub's cache on this machine; None if nowhere.

    The network is not asked, so that the same command makes the same tokens with and without it.
    """
    if name is None:
        return None
    if os.path.isdir(name):
        return name
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  slow to import, and seldom needed

    for file in _FILES:
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return str(Path(cached).parent)
    return None
