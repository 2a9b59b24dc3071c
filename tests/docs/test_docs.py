"""The pages that are written from the code, and the declarations that they are written from."""

import re

import pytest
from docs.generate import PAGES, REFERENCE, parsers

from plugin.test_timed_session import KEYS as SAVED
from pytest_gpt_dist.cli import build_parser
from pytest_gpt_dist.config.declaration import flag
from pytest_gpt_dist.config.settings import declarations
from pytest_gpt_dist.inference.result_format import INFERENCE


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_says_what_the_code_says(page: str) -> None:
    assert (REFERENCE / page).read_text() == PAGES[page](), "run `python docs/generate.py`"


def test_every_option_is_in_one_row() -> None:
    shown = re.findall(r"^\| `(--gpt-[a-z-]+)", PAGES["options.md"](), re.MULTILINE)
    assert sorted(shown) == sorted(flag(name) for name, _ in declarations())


def test_every_command_is_shown() -> None:
    shown = re.findall(r"^## gpt-dist (.+)$", PAGES["commands.md"](), re.MULTILINE)
    assert {"plan", "compare", "init", "dataset generate", "dataset validate", "doctor"} <= set(shown)


def test_every_action_says_what_it_does_in_its_own_help() -> None:
    silent = [parser.prog for about, parser in parsers(build_parser()) if not (about and parser.description)]
    assert silent == []


def test_the_declared_keys_are_those_of_a_timed_case() -> None:
    assert sorted(key.name for key in INFERENCE.metrics if not key.only_with) == sorted(SAVED)


def test_no_row_of_a_table_has_more_cells_than_its_header() -> None:
    for page, write in PAGES.items():
        tables = re.findall(r"(?:^\|.*\n)+", write(), re.MULTILINE)
        assert tables, page
        for table in tables:
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(widths) == 1, f"{page}: {table}"
