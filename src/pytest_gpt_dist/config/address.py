"""A host and a port, as options and commands take them."""

import re

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]+)):([0-9]{1,5})", re.ASCII)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of a text such as ``10.0.0.1:29400``, ``node0:29400`` or ``[fd00::1]:29400``."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise ValueError("expected HOST:PORT, such as 10.0.0.1:29400")
    return found[1] or found[2], int(found[3])
