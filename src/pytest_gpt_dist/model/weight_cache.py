"""Random weights that ranks have made, kept as files for those that need the same ones again."""

import hashlib
import logging
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from secrets import token_hex

import numpy as np
import torch

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.sharding import Share
from pytest_gpt_dist.model.weights import RandomWeights

_log = logging.getLogger(__name__)


def code_of(package: Path) -> str:
    """Return a word for the sources of a package and for the libraries that it computes with."""
    digest = hashlib.sha256(f"{torch.__version__}\0{np.__version__}".encode())
    for file in sorted(package.rglob("*.py")):
        digest.update(f"\0{file.relative_to(package)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def own_code() -> str:
    """Return this package's; two sides of an A/B share what they make only where it is the same."""
    return code_of(Path(__file__).parents[1])


class KeptWeights:
    """Parameters in the files of a folder, those of a layer together.

    A file is named after all that decides its bytes: seed, tensors, slices, dtype, and the code that made them. It
    gets that name when it is whole, so that nobody has to wait or to ask whether it may be read. It holds the
    parameters as they lie in memory, one after the other: they are read in place, which takes no memory besides, so
    that a rank that reads needs as much as one that makes.

    Args:
        folder: is there, and is removed by whoever made it.
        weights: where values come from.
        begin: which share of the parts others make first, from 0 to 1; replicas that load at once each begin with
            a share of their own, and find the rest.
    """

    def __init__(self, folder: Path, weights: RandomWeights, begin: float = 0.0) -> None:
        self._folder = folder
        self._weights = weights
        self._begin = begin
        self._full = False

    def turned(self, parts: Sequence[Sequence[Share]]) -> list[Sequence[Share]]:
        """Return the parts of a plan in the order in which this rank is to make them."""
        first = int(self._begin * len(parts))
        return [*parts[first:], *parts[:first]]

    def read(self, part: Sequence[Share], parameters: Sequence[torch.Tensor]) -> bool:
        """Fill the parameters of a part; False if nobody has made it yet.

        Raises:
            UsageError: when the file is not as it was written.
        """
        path = self._path(part, parameters)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            if any(file.readinto(_bytes(parameter)) != parameter.nbytes for parameter in parameters):
                raise UsageError(f"{path}: was cut short by something else than this session")
        return True

    def write(self, part: Sequence[Share], parameters: Sequence[torch.Tensor]) -> None:
        """Keep the parameters of a part; where there is no room, neither this one nor any that follows."""
        if self._full:
            return
        path = self._path(part, parameters)
        # Process ids are not unique where containers share a folder.
        aside = path.with_suffix(f".{token_hex(8)}")
        try:
            with aside.open("wb") as file:
                for parameter in parameters:
                    file.write(_bytes(parameter))
                file.flush()
                os.fsync(file.fileno())  # now, or the disk is busy with it during the rounds
            aside.rename(path)
        except OSError as error:
            _log.warning("no more weights are kept: %s", error)
            self._full = True
            aside.unlink(missing_ok=True)

    def _path(self, part: Sequence[Share], parameters: Sequence[torch.Tensor]) -> Path:
        made_of = [
            (
                share.shape,
                parameter.dtype,
                [(piece, self._weights.origin(piece.source)) for piece in share.pieces],
            )
            for share, parameter in zip(part, parameters, strict=True)
        ]
        return self._folder / hashlib.sha256(repr((own_code(), made_of)).encode()).hexdigest()


def _bytes(parameter: torch.Tensor) -> memoryview:
    return parameter.view(-1).view(torch.uint8).numpy().data
