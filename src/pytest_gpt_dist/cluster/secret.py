"""The secret that machines share: whoever knows it may have code run by the ranks of a session, and nobody else."""

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_gpt_dist.errors import UsageError, quoted

SECRET = "GPT_DIST_SECRET"
SECRET_FILE = "GPT_DIST_SECRET_FILE"
_MOST_BYTES = 4096
_MAKE_ONE = "make one with: openssl rand -hex 32"


def read_secret(environment: Mapping[str, str] = os.environ) -> bytes:
    """Return the secret of the file that GPT_DIST_SECRET_FILE names, else of GPT_DIST_SECRET.

    White space around it is none of it. UsageError, which never quotes it, where there is none.
    """
    if name := environment.get(SECRET_FILE):
        where = f"{SECRET_FILE}={quoted(name)}"
        try:
            with Path(name).open("rb") as file:
                found = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{where}: cannot be read ({error.strerror})") from None
    elif SECRET in environment:
        where, found = SECRET, os.fsencode(environment[SECRET])
    else:
        raise UsageError(
            f"machines need a secret that they share: name a file that holds it in {SECRET_FILE}; {_MAKE_ONE}"
        )
    if len(found) > _MOST_BYTES:
        raise UsageError(f"{where}: longer than {_MOST_BYTES} bytes, which is no secret; {_MAKE_ONE}")
    if not (secret := found.strip()):
        raise UsageError(f"{where}: empty; {_MAKE_ONE}")
    return secret
