"""What tells two models, or two files, of one name apart on any machine: a hash of what they hold."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pytest_gpt_dist.model.files import opened

_PART_BYTES = 2**20
_BLOCK_BYTES = 4096
_MOST_BLOCKS = 64
_SHOWN = 6


def named_by_content(name: str, content: str) -> str:
    """Return the last part of a path with the beginning of its content's hash, which tells it from its namesakes."""
    return f"{name}-{content[:_SHOWN]}"


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file's bytes; UsageError where it is no regular file, or cannot be read."""
    digest = hashlib.sha256()
    with opened(file) as stream:
        while part := stream.read(_PART_BYTES):
            digest.update(part)
    return digest.hexdigest()


def hash_model(config: Path, weights: Iterable[Path]) -> str:
    """Return the hash of a model's configuration and of samples of its weights.

    Weights are gigabytes: of each file its name, its size and a few blocks over its whole length count, which no two
    states of a training have in common.

    Raises:
        UsageError: when a file cannot be read.
    """
    digest = hashlib.sha256(hash_file(config).encode())
    files = sorted(weights)
    for file in files:
        with opened(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            digest.update(f"\0{file.name}\0{size}\0".encode())
            blocks = max(1, _MOST_BLOCKS // len(files))
            for block in range(1, blocks + 1):
                stream.seek(max(0, size - _BLOCK_BYTES) * block // blocks)
                digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()
