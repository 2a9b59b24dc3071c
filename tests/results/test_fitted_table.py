"""Tables that fit a terminal, whatever their rows hold."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.results.fitted_table import Column, fitted_table

HEADERS = ("case", "first", "second", "third", "fourth")
ELSEWHERE = "elsewhere"
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=70)


@dataclass(frozen=True)
class Drawn:
    """Rows with a note each, and the order of their columns' priority."""

    rows: list[tuple[str, ...]]
    notes: list[str]
    by_priority: tuple[str, ...]

    def table(self, width: int) -> str:
        """The table at that width."""
        cells = zip(*self.rows, strict=True)
        columns = [Column(header, "left", cell) for header, cell in zip(HEADERS, cells, strict=True)]
        return fitted_table(
            columns, width, by_priority=self.by_priority, elsewhere=ELSEWHERE, notes=self.notes
        )

    def left_out(self, width: int) -> list[str]:
        """What the last line names."""
        said = self.table(width).rpartition(f"Left out at {width} columns: ")[2]
        return [
            header
            for header in HEADERS
            if header in said.partition(f"({ELSEWHERE})")[0].replace(",", " ").split()
        ]


@st.composite
def tables(draw: st.DrawFn) -> Drawn:
    rows = draw(st.lists(st.tuples(*[TEXTS] * len(HEADERS)), min_size=1, max_size=4))
    notes = draw(st.lists(TEXTS, min_size=len(rows), max_size=len(rows)))
    return Drawn(rows, notes, tuple(draw(st.permutations(HEADERS[1:]))))


def solid(text: str) -> str:
    return "".join(text.split())


@given(tables(), st.integers(60, 240))
def test_no_line_is_wider_than_the_terminal_but_for_names(drawn: Drawn, width: int) -> None:
    longest = max(len(row[0]) for row in drawn.rows)
    assert all(len(line) <= max(width, longest) for line in drawn.table(width).split("\n"))


@given(tables(), st.integers(60, 240))
def test_no_cell_is_lost_but_those_of_columns_that_are_named(drawn: Drawn, width: int) -> None:
    table, left_out = solid(drawn.table(width)), drawn.left_out(width)
    for row in drawn.rows:
        for header, cell in zip(HEADERS, row, strict=True):
            assert header in left_out or solid(cell) in table
    for note in drawn.notes:
        assert solid(note) in table


@given(tables(), st.integers(60, 240))
def test_what_is_left_out_is_the_end_of_the_priorities(drawn: Drawn, width: int) -> None:
    left_out = drawn.left_out(width)
    stays = [header not in left_out for header in drawn.by_priority]
    assert stays == sorted(stays, reverse=True)


def made(rows: list[tuple[str, str]], width: int, *notes: str) -> list[str]:
    names, figures = zip(*rows, strict=True)
    columns = [Column("case", "left", names), Column("tokens", "right", figures)]
    shown = fitted_table(columns, width, by_priority=("tokens",), elsewhere=ELSEWHERE, notes=notes)
    return shown.split("\n")


def test_names_that_take_half_the_width_stand_above_their_rows() -> None:
    lines = made([("a" * 40, "1"), ("b", "22")], 60)
    assert lines == ["case", "  tokens", "  ------", "a" * 40, "       1", "b", "      22"]


def test_a_note_is_wrapped_below_its_row() -> None:
    lines = made([("a", "1"), ("b", "22")], 30, "shared device: others took 23%", "")
    assert lines[2:] == ["a          1", "  shared device: others took", "    23%", "b         22"]


def test_a_note_of_all_rows_is_said_once() -> None:
    lines = made([("a", "1"), ("b", "22")], 60, "no session", "no session")
    assert lines[2:] == ["a          1", "b         22", "All of them: no session"]
