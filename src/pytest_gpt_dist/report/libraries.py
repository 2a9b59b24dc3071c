"""What a report needs and a benchmark does not."""

from __future__ import annotations

from importlib.util import find_spec

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.installation import install_extra

NEEDED = ("matplotlib", "PIL", "jinja2")


def require_libraries(needed_for: str) -> None:
    """UsageError, with the command that helps, where a library is not installed. Imports none of them."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"{needed_for} needs {' and '.join(missing)}: {install_extra('report')}")
