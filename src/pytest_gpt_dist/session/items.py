"""What pytest's items tell of themselves."""

import pytest


def runs_cases(item: pytest.Item) -> bool:
    """Whether the item asks for ``gpt_dist``, so that it may have figures."""
    return "gpt_dist" in getattr(item, "fixturenames", ())
