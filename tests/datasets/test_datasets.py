"""Files of prompts: made from a seed, and searched for faults."""

import json
import subprocess
import sys
import tracemalloc
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patience import HANG_S
from pytest_gpt_dist.cli import main
from pytest_gpt_dist.datasets.faults import Fits, find_faults
from pytest_gpt_dist.datasets.generate import DISTRIBUTIONS, LONGEST, SHORTEST, Recipe, generate, graded
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.prompts import read_prompts, tokenize_bytes
from pytest_gpt_dist.inference.workload import Workload, build_requests
from pytest_gpt_dist.parallel import Dimensions

SIZE = Dimensions(layers=2, heads=2, kv_heads=2, head_dim=4, hidden=8, mlp=16, vocabulary=200, positions=70)


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
        ({"samples": 0}, "0 samples: expected from 1 to 1,000,000"),
        ({"samples": 10**6 + 1}, "1000001 samples: expected from 1 to 1,000,000"),
        ({"shortest": 0}, "0 words in the shortest prompt: expected from 1 to 1,000,000"),
        ({"shortest": 9}, "8 words in the longest prompt: expected from 9 to 1,000,000"),
        ({"longest": 10**400}, "words in the longest prompt: expected from 1 to 1,000,000"),
        ({"distribution": "flat"}, "choose one of fixed"),
        ({"new_tokens": 0}, "0 new tokens"),
        ({"seed": -1}, "seed -1: expected at least 0"),
    ],
)
def test_what_cannot_be_made_is_one_line(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe(**({"samples": 1, "distribution": "fixed", "shortest": 1, "longest": 8} | wrong))  # type: ignore[arg-type]


def test_more_prompts_than_there_are_of_a_length_end_in_one_line() -> None:
    with pytest.raises(UsageError, match="hardly 9999 different prompts"):
        list(generate(Recipe(9999, "fixed", 1, 1)))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_usual_lengths_fit_a_context_of_1024_without_a_tokenizer(distribution: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    recipe = Recipe(200, distribution, SHORTEST, LONGEST)  # type: ignore[arg-type]
    file.write_text("\n".join(generate(recipe)))
    assert find_faults(file, Fits("gpt2-xl", replace(SIZE, positions=1024), tokenize_bytes)) == (200, [])


def test_what_was_made_does_not_stay_in_memory() -> None:
    recipe = Recipe(4000, "fixed", 64, 64)
    tracemalloc.start()
    deque(generate(recipe), maxlen=0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 500_000  # the prompts are 1.6 MB


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "\n".join(
            (
                '{"prompt": "fine"}',
                '{"promt": "misspelt"}',
                *[""] * 4,
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
    prompts, faults = find_faults(file, Fits("tiny", SIZE, tokenize_bytes))
    assert prompts == 4
    assert [fault.split(":")[1] for fault in faults] == ["2", "7", "8", "9", "10", "11", "12"]
    assert "did you mean prompt" in faults[0]
    assert f"the same prompt as in {file}:1" in faults[5]


@pytest.mark.parametrize(
    "lines",
    [
        b"\n",
        b'{"prompt": "a"}\n{"prompt": 5}\n',
        b'{"prompt": "a"}\n{"prompt": "\xe9"}\n',
        b'{"prompt": "much too long"}\n',
        b'{"input_ids": [200]}\n',
    ],
)
def test_a_session_would_say_the_same(tmp_path: Path, lines: bytes) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(lines)
    workload = Workload("tiny", "float32", prompts=str(file), batch_size=9)
    with pytest.raises(UsageError) as caught:
        build_requests(workload, read_prompts(file), 1, SIZE, tokenize_bytes)
    assert find_faults(file, Fits("tiny", SIZE, tokenize_bytes))[1] == [str(caught.value)]


def test_what_tokens_are_is_said_where_the_tokenizer_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "model_type": "gpt2",
        "n_embd": 8,
        "n_head": 2,
        "n_layer": 1,
        "n_positions": 70,
        "vocab_size": 300,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"prompt": "é" * 4}) + "\n" + json.dumps({"input_ids": [1] * 7}))
    assert main(["dataset", "validate", str(file), "--model", str(tmp_path)]) == 1
    of_text, of_ids = capsys.readouterr().out.splitlines()
    assert of_text.startswith(f"{file}:1: 8 prompt tokens and 64 new ones do not fit")
    assert of_text.endswith(f"(tokens are UTF-8 bytes: {tmp_path} has no tokenizer)")
    assert of_ids.startswith(f"{file}:2: 7 prompt tokens and 64 new ones do not fit")
    assert of_ids.endswith("lower --gpt-prompt-tokens or --gpt-new-tokens")


def test_what_generate_writes_validate_finds_nothing_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "sets")]
    assert main(["dataset", "generate", *output, "--benchmark", "--num-configs=3", "--samples=4"]) == 0
    files = sorted(str(path) for path in (tmp_path / "sets").iterdir())
    assert [Path(file).name for file in files] == [
        "01_8words.jsonl", "02_32words.jsonl", "03_128words.jsonl",
    ]  # fmt: skip
    assert capsys.readouterr().out.split() == files
    assert main(["dataset", "validate", *files, "--model", "smollm2-135m"]) == 0
    assert "4 prompts, no faults" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("mine")
    assert main(["dataset", "generate", "--output", str(file)]) == 4
    assert "mine.jsonl exists: give another --output" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_of_a_family_all_files_are_written_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "03_128words.jsonl").write_text("mine")
    assert main(["dataset", "generate", "--output", str(tmp_path), "--benchmark", "--num-configs=3"]) == 4
    assert "03_128words.jsonl exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["03_128words.jsonl"]


def test_what_cannot_be_finished_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jsonl"
    words = ["--samples=9999", "--distribution=fixed", "--max-words=1"]
    assert main(["dataset", "generate", "--output", str(file), *words]) == 4
    assert "hardly 9999 different prompts" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_leaves_nothing_behind(tmp_path: Path) -> None:
    limited = (
        "import resource, sys; from pytest_gpt_dist.cli import main;"
        " resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "dataset", "generate", "--output", str(tmp_path / "mine.jsonl")],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr == f"gpt-dist dataset: {tmp_path / 'mine.jsonl'} cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_not_said_to_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["dataset", "generate", "--output", str(tmp_path / "file" / "mine.jsonl")]) == 4
    assert "file/mine.jsonl cannot be written: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--num-configs=3"], "--num-configs has no effect without --benchmark"),
        (
            ["generate", "--benchmark", "--distribution=normal"],
            "--distribution has no effect with --benchmark",
        ),
        (["generate", "--distribution=fixed", "--min-words=4"], "--min-words has no effect on fixed lengths"),
        (["validate", "mine.jsonl", "--offline"], "--offline has no effect without --model"),
    ],
)
def test_an_option_without_effect_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    output = ["--output", str(tmp_path / "mine.jsonl")] if "generate" in arguments else []
    assert main(["dataset", *arguments, *output]) == 4
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_exit_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "a"}\n')
    assert main(["dataset", "validate", str(file)]) == 1
    assert capsys.readouterr().out == f"{file}:2: the same prompt as in {file}:1\n"


def test_a_file_that_cannot_be_read_is_a_fault_and_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": 5}\n')
    assert main(["dataset", "validate", str(tmp_path / "none.jsonl"), str(tmp_path), str(file)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"cannot read prompts from {tmp_path / 'none.jsonl'}: No such file or directory",
        f"cannot read prompts from {tmp_path}: it is not a regular file",
        f"{file}:1: prompt is a text, got int",
    ]


def test_a_pipe_carries_prompts_from_one_command_to_the_next() -> None:
    command = f"{sys.executable} -c 'from pytest_gpt_dist.cli import main; raise SystemExit(main())' dataset"
    piped = f"{command} generate --output - --samples 3 | sed '2s/prompt/text/' | {command} validate -"
    done = subprocess.run(["sh", "-c", piped], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert (done.returncode, done.stdout) == (1, "<stdin>:2: expected prompt or input_ids, found 'text'\n")


def test_a_family_of_files_is_no_output_of_one_stream(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "generate", "--output", "-", "--benchmark"]) == 4
    assert "give a folder" in capsys.readouterr().err
