"""Texts from outside: in a line, in a table, in Markdown, and in an encoding that lacks some of them."""

from dataclasses import replace
from html import unescape
from io import BytesIO, TextIOWrapper
from types import SimpleNamespace
from typing import Any, cast

import pytest
from _pytest._io import TerminalWriter
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_gpt_dist.compare.judging import Judged
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.errors import UsageError, one_line, quoted
from pytest_gpt_dist.report.job_summary import job_summary
from pytest_gpt_dist.report.table import Row, render
from pytest_gpt_dist.report.verdicts import conclusion, render_verdicts
from pytest_gpt_dist.results.table import table
from pytest_gpt_dist.results.text import first_lines
from pytest_gpt_dist.session.terminal_summary import write_lines
from pytest_gpt_dist.terminal.encoding import encodable
from saved_cases import INFO

HOSTILE = "t.py::\x1b[31m\u202e|`<b>&\r\n| x | [a](http://b) **c** \x00\x9b2J"
GITHUB = MarkdownIt("commonmark").enable("table")


def nested(times: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(times):
        value = [value]
    return value


def test_any_value_is_quoted_in_a_short_printable_line() -> None:
    long = {"a" * 10**5: nested(50)}
    for value in (10**10_000, nested(100_000), "x" * 10**6, long, HOSTILE, b"\x1b" * 999, float("nan")):
        text = quoted(value)
        assert text.isprintable()
        assert len(text) <= 160


def test_a_short_value_is_quoted_as_it_is_written() -> None:
    assert [quoted(value) for value in (3, "a b", [1, None], {"a": 0.5})] == [
        "3",
        "'a b'",
        "[1, None]",
        "{'a': 0.5}",
    ]


def test_both_ends_of_a_long_value_are_seen() -> None:
    assert quoted("begin" + "x" * 999 + "end").startswith("'beginx")
    assert quoted("begin" + "x" * 999 + "end").endswith("xend'")


@given(st.text())
def test_an_error_of_usage_is_one_printable_line_whatever_it_quotes(text: str) -> None:
    message = str(UsageError(f"{text}: expected something else"))
    assert message.isprintable()
    assert message.endswith("expected something else")


def test_an_error_of_usage_has_bounded_length() -> None:
    assert len(str(UsageError("x" * 10**6))) < 10_000
    assert len(one_line(nested(100_000))) < 200


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_has_a_line_for_each_row_whatever_its_cells_hold(rows: list[list[str]]) -> None:
    for style, ruler in (("text", 1), ("markdown", 1)):
        lines = table(rows, ("a", "b"), style=cast(Any, style)).split("\n")
        assert len(lines) == 1 + ruler + len(rows)
        assert all(line.isprintable() for line in lines)


def test_cells_of_markdown_show_what_they_hold_and_stay_in_their_columns() -> None:
    html = GITHUB.render(table([[HOSTILE, "plain"]], ("case", "why"), style="markdown"))
    assert html.count("<td>") == 2
    assert not {"<b>", "<a", "<strong>", "<code>"} & set(html.replace("><", ">\n<").split("\n"))
    assert one_line(HOSTILE) in unescape(html)


def test_a_table_without_rows_has_its_headers() -> None:
    assert table([], ("a", "b")).split() == ["a", "b", "-", "-"]


VERDICT = Verdict.without_baseline(HOSTILE, "stored", 0.01, HOSTILE)


def test_names_and_reasons_command_no_terminal() -> None:
    row = Row(HOSTILE, INFO | {"model": HOSTILE, "marks": [HOSTILE]})
    finding = Finding("gpu", "fault", HOSTILE, HOSTILE)
    texts = [render_verdicts([VERDICT]), render([row]), finding.text(), conclusion([VERDICT], required=False)]
    assert all(text.replace("\n", "").isprintable() for text in texts)
    assert [len(text.split("\n")) for text in texts] == [5, 5, 2, 1]


def test_the_summary_of_a_job_takes_no_text_for_markup() -> None:
    regressed = Verdict(HOSTILE, "regressed", "stored", 2.0, 1.0, 1.0, (0.9, 1.1), 0.9, 0.1, 3, HOSTILE)
    html = GITHUB.render(job_summary(Judged((regressed,), notes=(HOSTILE,)), required=False))
    for tag, count in (
        ("<td>", 8),
        ("<li>", 1),
        ("<h3>", 1),
        ("<b>", 0),
        ("<a", 0),
        ("<strong>", 0),
        ("<code>", 0),
    ):
        assert html.count(tag) == count, tag


def test_an_encoding_that_lacks_marks_gets_stand_ins() -> None:
    text = "dp1·pp1 1.5× ≥ 2 – 3… 4 → 5 ü \udc80"
    assert encodable(text, "ascii") == r"dp1-pp1 1.5x >= 2 - 3... 4 -> 5 \xfc \udc80"
    assert encodable("dp1·pp1 1.5× ≥", "latin-1") == "dp1·pp1 1.5× >="
    assert encodable("dp1·pp1 ü …", "utf-8") == "dp1·pp1 ü …"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_gets_a_table_line_by_line(encoding: str) -> None:
    written = BytesIO()
    file = TextIOWrapper(written, encoding=encoding, write_through=True)
    writer = TerminalWriter(file)
    config = SimpleNamespace(get_terminal_writer=lambda: writer)
    reporter = cast(Any, SimpleNamespace(config=config, write_line=writer.line))
    text = render([Row("test_generate[1gpu]", INFO)])
    write_lines(reporter, text, "· one more")
    lines = written.getvalue().decode(encoding).splitlines()
    assert len(lines) == len(text.splitlines()) + 1
    assert not any("\\" in line for line in lines)
    assert lines[3].startswith("test_generate[1gpu]")


def test_of_many_lines_ten_are_said_and_the_rest_is_counted() -> None:
    assert first_lines(["a"] * 10) == ("a",) * 10
    assert first_lines(["a"] * 13) == (*["a"] * 10, "and 3 more such lines")


def test_a_session_that_compared_nothing_says_why_and_what_to_do() -> None:
    alone = Verdict.without_baseline(
        "b.py::a", "stored", 0.01, "every session was disturbed", "end the other work"
    )
    line = conclusion([alone, replace(alone, case="b.py::b")], required=False)
    assert line == (
        "gpt-dist: 2 no-baseline, so nothing was compared: every session was disturbed; end the other work"
    )
    required = conclusion([alone], required=True)
    assert required.endswith("makes a failure: every session was disturbed; end the other work")
