"""How values and errors are told: one line, short, whatever is put into it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.errors import LONGEST_PATH, UsageError, first_line, quoted


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), st.lists) | st.text(min_size=200))
def test_a_quoted_value_is_one_short_line_that_can_be_printed(value: Any) -> None:
    assert quoted(value).isprintable()
    assert len(quoted(value)) <= 101


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gpt2", "'gpt2'"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        (4, "4"),
        (True, "True"),
        (None, "None"),
        (float("nan"), "nan"),
        (10**5000, "a whole number of about 5,000 digits"),
        (-(10**5000), "a whole number of about 5,000 digits"),
        (("x", 3), "('x', 3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_values_are_quoted(value: Any, said: str) -> None:
    assert quoted(value) == said


def test_a_usage_error_is_one_line_whatever_is_in_it() -> None:
    said = str(UsageError("folder\n\x1b[2J/config.json: is wrong · × …"))
    assert said == r"folder\n\x1b[2J/config.json: is wrong · × …"
    assert str(UsageError(said)) == said
    long = str(UsageError(f"here: {'x' * 10**6}: no such file"))
    assert len(long) == 2 * LONGEST_PATH + 1
    assert long.startswith("here: ")
    assert long.endswith(": no such file")


def test_the_first_line_of_an_error_is_short() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert len(first_line(ValueError("x" * 10**6))) == 301
