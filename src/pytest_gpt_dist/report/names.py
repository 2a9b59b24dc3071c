"""How strategies and cases are called where people read about them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_gpt_dist.report.figures import CaseFigures, devices

_OF_DEGREES = (("tp", "tensor"), ("pp", "pipeline"), ("dp", "data"))
_IN_WORDS = {
    "pure_data_parallel": "a replica of the model on each device",
    "tensor_data_hybrid": "each layer over several devices, then replicas of that",
    "pipeline_data_hybrid": "stages of layers over several devices, then replicas of that",
    "full_model_parallel": "stages of layers, and each of these over several devices",
}
_GIVEN_DEGREES = re.compile(r"dp\d+pp\d+tp\d+")
_DEGREE = re.compile(r"([a-z]+)(\d+)")
_ALONE = "one device"
_LONGEST = 28
_LEAST_SHARED = 4
_WORD = re.compile(r"\w+|\W")
_BETWEEN_PARTS = "-."
"""What stands between the parts of a case's id; at the end of a name that was cut it says nothing."""


def plain_strategy(case: CaseFigures) -> str:
    """Return what a case's layout is called in the field; a strategy of the user's own keeps its name."""
    if case.strategy not in _IN_WORDS and not _GIVEN_DEGREES.fullmatch(case.strategy):
        return _in_a_word(case.strategy)
    degrees = dict(_DEGREE.findall(case.layout))
    kinds = [kind for degree, kind in _OF_DEGREES if int(degrees[degree]) > 1]
    return f"{'+'.join(kinds)} parallel" if kinds else _ALONE


def plain_name(case: CaseFigures, cases: Sequence[CaseFigures]) -> str:
    """Return the strategy and device count of a case in words, with what tells it from the others beside it."""
    strategy = plain_strategy(case)
    place = _ALONE if strategy == _ALONE else f"{strategy} on {devices(case.gpus)}"
    return f"{place}{_apart(case, cases)}"


def short_name(case: CaseFigures, cases: Sequence[CaseFigures]) -> str:
    """Return the same without the device count, which stands above it."""
    strategy = plain_strategy(case)
    return f"{'whole model' if strategy == _ALONE else strategy}{_apart(case, cases)}"


def at_the_start(case: CaseFigures, cases: Sequence[CaseFigures]) -> str:
    """Return ``plain_name`` as a sentence begins; what the user named stays as it is."""
    name = plain_name(case, cases)
    return name if name.startswith(_in_a_word(case.strategy)) else f"{name[:1].upper()}{name[1:]}"


def in_words(strategy: str) -> str:
    """Return what a built-in strategy does; empty for any other."""
    return _IN_WORDS.get(strategy, "")


def _apart(case: CaseFigures, cases: Sequence[CaseFigures]) -> str:
    """Return an engine besides the native one, and the variant, in brackets and without a space in them."""
    engines = {other.engine for other in cases}
    told = [case.engine] if len(engines) > 1 and case.engine != "native" else []
    alike = [other for other in cases if _key(other) == _key(case)]
    if len(alike) > 1:
        told.append(case.variant or case.case)
    return f" ({','.join(map(_in_a_word, told))})" if told else ""


def _key(case: CaseFigures) -> tuple[str, str, int]:
    return (plain_strategy(case), case.engine, case.gpus)


def _in_a_word(text: str) -> str:
    """Return a text of the user's, without spaces and of bounded length."""
    word = "·".join(text.split())
    return word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…"


def without_shared(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what all names share, with … in place of the rest, and those rests; an empty text where that is little.

    Names are only cut between words, and each keeps a letter, because a number alone says nothing.
    """
    if len(set(names)) < 2:
        return "", tuple(names)
    words = [_WORD.findall(name) for name in names]
    room = min(map(len, words)) - 1
    before = _alike(words, room)
    after = _alike([each[::-1] for each in words], room - before)
    rests = tuple("".join(each[before : len(each) - after]) for each in words)
    shared = len("".join(words[0][:before] + words[0][len(words[0]) - after :]))
    if shared < _LEAST_SHARED or not all(any(mark.isalpha() for mark in rest) for rest in rests):
        return "", tuple(names)
    start, end = "".join(words[0][:before]), "".join(words[0][len(words[0]) - after :])
    bare = tuple(rest.rstrip(_BETWEEN_PARTS) for rest in rests)
    if len(set(bare)) == len(set(rests)):
        rests = bare
    return f"{start}…{end}", rests


def _alike(words: Sequence[Sequence[str]], most: int) -> int:
    """With how many equal words all begin, ``most`` at the most."""
    count = 0
    while count < most and len({each[count] for each in words}) == 1:
        count += 1
    return count
