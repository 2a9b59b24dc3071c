"""Files of prompts: made from a seed, and searched for faults."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.cli import main
from pytest_gpt_dist.datasets.faults import Fits, find_faults
from pytest_gpt_dist.datasets.generate import DISTRIBUTIONS, Recipe, generate, graded
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.prompts import tokenize_bytes


def lengths(recipe: Recipe) -> list[int]:
    return [len(json.loads(line)["prompt"].split()) for line in generate(recipe)]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(DISTRIBUTIONS),
    st.integers(2, 40),
    st.integers(0, 200),
    st.integers(1, 20),
    st.integers(0, 9),
)
def test_prompts_are_as_many_and_as_long_as_asked_for_and_never_alike(
    distribution: str, shortest: int, wider: int, samples: int, seed: int
) -> None:
    recipe = Recipe(samples, distribution, shortest, shortest + wider, seed)  # type: ignore[arg-type]
    made = list(generate(recipe))
    assert made == list(generate(recipe))
    assert len(set(made)) == samples
    assert all(shortest <= length <= shortest + wider for length in lengths(recipe))


def test_the_same_seed_makes_the_same_prompts_in_every_version() -> None:
    (line,) = generate(Recipe(1, "uniform", 4, 4, seed=7, new_tokens=5))
    assert json.loads(line) == {"prompt": "stays process compiler Tuesday", "max_length": 5}


def test_lognormal_lengths_are_mostly_short_and_sometimes_long() -> None:
    found = lengths(Recipe(300, "lognormal", 4, 400))
    assert sorted(found)[150] == pytest.approx(40, rel=0.15)  # the geometric mean of the ends
    assert sum(found) / 300 > 45


def test_a_family_goes_from_short_to_long_by_equal_factors() -> None:
    family = graded(Recipe(3, "uniform", 8, 128), 5)
    assert [part.longest for part in family] == [8, 16, 32, 64, 128]
    assert len({part.seed for part in family}) == 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"samples": 0}, "0 samples"),
        ({"shortest": 0}, "the shortest is at least 1"),
        ({"shortest": 9}, "not above the longest"),
        ({"distribution": "flat"}, "choose one of fixed"),
        ({"new_tokens": 0}, "0 new tokens"),
    ],
)
def test_what_cannot_be_made_is_one_line(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe(**({"samples": 1, "distribution": "fixed", "shortest": 1, "longest": 8} | wrong))  # type: ignore[arg-type]


def test_more_prompts_than_there_are_of_a_length_end_in_one_line() -> None:
    with pytest.raises(UsageError, match="hardly 9999 different prompts"):
        list(generate(Recipe(9999, "fixed", 1, 1)))


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "\n".join(
            (
                '{"prompt": "fine"}',
                '{"promt": "misspelt"}',
                "",
                "{not json",
                '{"max_length": 5}',
                '{"prompt": 5}',
                '{"prompt": ""}',
                '{"prompt": "fine"}',
                '{"prompt": "much too long"}',
                '{"input_ids": [5, 99]}',
            )
        )
    )
    fits = Fits("tiny", vocabulary=200, positions=70, tokenize=tokenize_bytes)
    prompts, faults = find_faults(file, fits)
    assert prompts == 4
    assert [fault.split(":")[1] for fault in faults] == ["2", "4", "5", "6", "7", "8", "9"]
    assert "did you mean prompt" in faults[0]
    assert "the same prompt as in mine.jsonl:1" in faults[5]
    assert "13 tokens and 64 new ones are too long for tiny, whose context is 70" in faults[6]


def test_an_empty_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    assert find_faults(tmp_path / "empty.jsonl")[1] == [f"{tmp_path / 'empty.jsonl'}: no prompts in it"]


def test_what_generate_writes_validate_finds_nothing_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "sets")]
    assert main(["dataset", "generate", *output, "--benchmark", "--num-configs=3", "--samples=4"]) == 0
    files = sorted(str(path) for path in (tmp_path / "sets").iterdir())
    assert [Path(file).name for file in files] == [
        "01_8words.jsonl", "02_45words.jsonl", "03_256words.jsonl",
    ]  # fmt: skip
    assert capsys.readouterr().out.split() == files
    assert main(["dataset", "validate", *files, "--model", "smollm2-135m"]) == 0
    assert "4 prompts, no faults" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("mine")
    assert main(["dataset", "generate", "--output", str(file)]) == 4
    assert "exists: remove it" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_fault_is_exit_status_1_and_a_file_that_is_not_there_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "a"}\n')
    assert main(["dataset", "validate", str(file)]) == 1
    assert capsys.readouterr().out == "mine.jsonl:2: the same prompt as in mine.jsonl:1\n"
    assert main(["dataset", "validate", str(tmp_path / "none.jsonl")]) == 4
    assert "cannot read prompts" in capsys.readouterr().err
