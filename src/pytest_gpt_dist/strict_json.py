"""JSON as its standard has it, where Python's own reading is forgiving in silence."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pytest_gpt_dist.errors import quoted


def loads(text: str) -> Any:
    """Read a JSON text. ValueError as of ``json.loads``, and for a key that is there twice, NaN and infinities."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; of a key that is there twice, Python's own reading would drop the first in silence."""
    entry = dict(pairs)
    if len(entry) < len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {quoted(repeated)} is there twice")
    return entry


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
