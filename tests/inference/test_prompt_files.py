"""Prompt files are parsed once, until they change."""

import os
from pathlib import Path

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference import prompt_files
from pytest_gpt_dist.inference.prompt_files import PromptFiles
from pytest_gpt_dist.inference.prompts import Prompt, read_prompts


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were parsed."""
    seen: list[Path] = []

    def reading(path: Path) -> tuple[Prompt, ...]:
        seen.append(path)
        return read_prompts(path)

    monkeypatch.setattr(prompt_files, "read_prompts", reading)
    return seen


def test_a_file_is_parsed_again_when_it_has_changed_and_not_before(
    tmp_path: Path, parsed: list[Path]
) -> None:
    file, other = tmp_path / "mine.jsonl", tmp_path / "other.jsonl"
    file.write_text('{"prompt": "a"}\n')
    other.write_text('{"prompt": "b"}\n')
    files = PromptFiles()
    assert [files.read(file)[0].text for _ in range(3)] == ["a"] * 3
    assert files.read(other)[0].text == "b"
    assert parsed == [file, other]
    file.write_text('{"prompt": "c"}\n')  # as long as before
    os.utime(file, ns=(1, 1))
    assert files.read(file)[0].text == "c"
    assert parsed == [file, other, file]


def test_a_file_that_is_wrong_is_said_each_time(tmp_path: Path) -> None:
    files = PromptFiles()
    for path in (tmp_path / "gone", Path("a\0b")):
        for _ in range(2):
            with pytest.raises(UsageError, match="cannot read prompts from"):
                files.read(path)
