"""The largest sizes that can be meant: what is beyond them is a slip, and would take all memory or never end."""

from collections.abc import Mapping
from pathlib import Path

from pytest_gpt_dist.errors import UsageError, quoted

MOST_SAVED_BYTES = 2**28
"""Of a saved session, and of an entry of a journal: what is longer was not saved here."""
MOST_DEVICES = 4096
# Far above the largest models that have been published: some 130 layers, 20,000 wide, 10 million positions.
MOST: Mapping[str, int] = {
    "layers": 10_000,
    "heads": 2**16,
    "kv_heads": 2**16,
    "head_dim": 2**16,
    "hidden": 2**20,
    "mlp": 2**22,
    "vocabulary": 2**24,
    "positions": 2**27,
}
"""Of each size of a model."""


def whole_number(value: object, what: str, most: int) -> int:
    """Return a value that is a whole number from 1 to ``most``.

    Raises:
        UsageError: when it is anything else; the message begins with ``what``.
    """
    if type(value) is not int or not 1 <= value <= most:
        raise UsageError(f"{what}{quoted(value)}: expected a whole number from 1 to {most:,}")
    return value


def device_count(value: object, what: str = "gpus=") -> int:
    """Return a value that is a number of devices; every one that a user gives comes through here.

    Raises:
        UsageError: when it is none; the message begins with ``what``.
    """
    return whole_number(value, what, MOST_DEVICES)


def read_bounded(path: Path, most_bytes: int = MOST_SAVED_BYTES) -> bytes:
    """Return the content of a file; ValueError of one that is longer than anything that was saved here."""
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"is longer than {most_bytes:,} bytes")
    return content
