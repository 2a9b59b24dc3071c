"""Workloads: how they are labelled in ids, and the requests that they make."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.prompts import Prompt, given_prompts, tokenize_bytes
from pytest_gpt_dist.inference.workload import PathNames, Workload, build_requests
from pytest_gpt_dist.parallel import Dimensions

DEFAULT = Workload.of(Options(), "cpu")
SIZE = Dimensions(layers=2, heads=2, kv_heads=2, head_dim=4, hidden=8, mlp=16, vocabulary=300, positions=100)
PROMPTS = tuple(Prompt(f"file:{number}", token_ids=(number, number + 1)) for number in range(1, 6))


def prompts_of(workload: Workload, gpus: int) -> list[tuple[int, ...]]:
    return [request.prompt for request in build_requests(workload, PROMPTS, gpus, SIZE, tokenize_bytes)]


PLAIN = replace(DEFAULT, prompt_tokens=None, new_tokens=3)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_default_workload_has_no_label(device: str) -> None:
    assert Workload.of(Options(), device).label(device) == ""


def test_each_device_has_its_own_defaults() -> None:
    cpu, cuda = Workload.of(Options(), "cpu"), Workload.of(Options(), "cuda")
    assert (cpu.model, cpu.dtype, cpu.prompt_tokens, cpu.batch_size) == ("gpt2-mini", "float32", 64, 4)
    assert (cuda.model, cuda.dtype, cuda.prompt_tokens, cuda.batch_size) == ("gpt2-xl", "bfloat16", 256, 4)


def test_the_defaults_of_one_device_are_a_label_on_the_other() -> None:
    assert Workload.of(Options(), "cuda").label("cpu") == "gpt2-xl.bfloat16.p256"


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (Options(model="gpt2-xl", dtype="float16", batch_size=8), "gpt2-xl.float16.b8"),
        (Options(model="/models/my model"), "my_model"),
        (Options(model="owner/name"), "name"),
        (Options(weights="pretrained"), "pretrained"),
        (Options(scaling="strong"), "strong"),
        (Options(prompts="/data/chat logs.jsonl"), "chat_logs"),
        (Options(prompts="/data/chat.jsonl", prompt_tokens=64), "chat.p64"),
        (Options(prompt_tokens=64), ""),
        (Options(prompt_tokens=32, new_tokens=8), "p32.n8"),
        (Options(new_tokens=64), "n64"),
        (Options(batching="by-length", batch_size=8), "by-length.b8"),
        (Options(batching="token-budget", token_budget=512), "budget512"),
        (Options(requests=7, microbatches=2), "r7.m2"),
        (Options(temperature=0.7, top_p=0.9), "temperature0.7.top_p0.9"),
        (Options(temperature=1.0), "temperature1"),
        (Options(repetition_penalty=1.2, seed=5), "penalty1.2.seed5"),
        (Options(repetition_penalty=1.0, seed=0, batch_size=4, dtype="float32"), ""),
        (Options(rounds=9, timeout=5.0, gpus=(2,), warmup=0), ""),
    ],
)
def test_what_differs_from_the_default_is_in_the_label(options: Options, label: str) -> None:
    assert Workload.of(options, "cpu").label("cpu") == label


NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "requests": st.integers(1, 10**9),
    "batch_size": st.integers(1, 10**9),
    "prompt_tokens": st.integers(1, 10**9),
    "new_tokens": st.integers(1, 10**9),
    "microbatches": st.integers(1, 10**9),
    "seed": st.integers(0, 2**63),
    "temperature": st.floats(1e-3, 1e3),
    "top_p": st.floats(1e-3, 1.0),
    "repetition_penalty": st.floats(1e-3, 1e3),
}


@settings(deadline=None)
@given(data=st.data(), name=st.sampled_from(list(NUMBERS)))
def test_two_workloads_that_differ_in_a_number_have_two_labels(data: st.DataObject, name: str) -> None:
    one, other = data.draw(NUMBERS[name]), data.draw(NUMBERS[name])
    labels: set[str] = set()
    for value in (one, other):
        change: dict[str, Any] = {name: value}
        labels.add(replace(DEFAULT, **change).label("cpu"))
    assert len(labels) == len({one, other})


@settings(deadline=None)
@given(seed=st.integers(10**6, 2**63))
def test_neighbouring_seeds_have_two_labels(seed: int) -> None:
    assert replace(DEFAULT, seed=seed).label("cpu") != replace(DEFAULT, seed=seed + 1).label("cpu")


@settings(deadline=None)
@given(text=st.text(min_size=1))
def test_a_label_has_nothing_that_an_id_or_a_shell_would_stumble_over(text: str) -> None:
    label = replace(DEFAULT, model=text, prompts=text).label("cpu")
    assert all(character.isalnum() or character in "-_." for character in label)


@settings(deadline=None)
@given(gpus=st.integers(1, 8), batch_size=st.integers(1, 5))
def test_weak_scaling_gives_each_device_a_batch_of_cycled_prompts(gpus: int, batch_size: int) -> None:
    made = prompts_of(replace(PLAIN, batch_size=batch_size), gpus)
    assert len(made) == gpus * batch_size
    assert made == [PROMPTS[place % len(PROMPTS)].token_ids for place in range(len(made))]


@settings(deadline=None)
@given(gpus=st.integers(1, 8), batch_size=st.integers(1, 5))
def test_strong_scaling_gives_the_whole_world_one_batch(gpus: int, batch_size: int) -> None:
    assert len(prompts_of(replace(PLAIN, batch_size=batch_size, scaling="strong"), gpus)) == batch_size


@pytest.mark.parametrize("scaling", ["weak", "strong"])
def test_a_count_of_requests_wins_over_the_batch_size(scaling: str) -> None:
    workload = replace(PLAIN, requests=7, scaling="strong" if scaling == "strong" else "weak")
    assert len(prompts_of(workload, 4)) == 7


def test_prompts_given_in_code_are_the_requests_and_no_others() -> None:
    prompts = given_prompts(["ab", [7]])
    workload = replace(PLAIN, prompts=prompts, batch_size=8)
    made = build_requests(workload, prompts, 4, SIZE, tokenize_bytes)
    assert [request.prompt for request in made] == [(97, 98), (7,)]


def test_requests_are_numbered_in_order() -> None:
    made = build_requests(PLAIN, PROMPTS, 4, SIZE, tokenize_bytes)
    assert [request.index for request in made] == list(range(16))


def test_prompt_tokens_fits_every_prompt() -> None:
    assert set(prompts_of(replace(PLAIN, prompt_tokens=3, requests=2), 1)) == {(1, 2, 1), (2, 3, 2)}


@pytest.mark.parametrize(("asked", "own", "made"), [(9, 5, 9), (None, 5, 5), (None, None, 64), (9, None, 9)])
def test_new_tokens_wins_over_the_prompts_own_length_and_that_over_the_default(
    asked: int | None, own: int | None, made: int
) -> None:
    prompt = Prompt("file:1", token_ids=(1,), new_tokens=own)
    (request,) = build_requests(
        replace(PLAIN, requests=1, new_tokens=asked), [prompt], 1, SIZE, tokenize_bytes
    )
    assert request.new_tokens == made


def test_a_request_may_fill_the_context_to_its_end() -> None:
    workload = replace(PLAIN, requests=1, prompt_tokens=60, new_tokens=40)
    assert len(build_requests(workload, PROMPTS, 1, SIZE, tokenize_bytes)) == 1


def test_a_request_longer_than_the_context_is_one_line_that_names_it() -> None:
    workload = replace(PLAIN, requests=1, prompt_tokens=60, new_tokens=41)
    with pytest.raises(UsageError) as caught:
        build_requests(workload, PROMPTS, 1, SIZE, tokenize_bytes)
    assert str(caught.value) == (
        "file:1: 60 prompt tokens and 41 new ones do not fit gpt2-mini's context of 100;"
        " lower --gpt-prompt-tokens or --gpt-new-tokens"
    )


@pytest.mark.parametrize("change", [{"batching": "token-budget"}, {"token_budget": 9}])
def test_a_budget_and_its_way_of_batching_want_each_other(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="budget"):
        replace(DEFAULT, **change)


def test_only_prompts_that_are_used_are_judged() -> None:
    wrong = Prompt("file:2", token_ids=(999,))
    made = build_requests(replace(PLAIN, requests=1), [PROMPTS[0], wrong], 1, SIZE, tokenize_bytes)
    assert len(made) == 1


def test_a_prompts_file_keeps_its_own_lengths_unless_told(tmp_path: Path) -> None:
    file = str(tmp_path / "mine.jsonl")
    assert Workload.of(Options(prompts=file), "cpu").prompt_tokens is None
    assert Workload.of(Options(prompts=file, prompt_tokens=9), "cpu").prompt_tokens == 9


def test_sampling_is_on_only_when_a_sampling_option_is_given() -> None:
    assert not Workload.of(Options(), "cpu").sampling.on
    assert not Workload.of(Options(repetition_penalty=1.2, seed=4), "cpu").sampling.on
    assert Workload.of(Options(temperature=1.0), "cpu").sampling.on
    assert Workload.of(Options(top_p=1.0), "cpu").sampling.on


def test_what_the_test_gives_itself_is_not_in_the_label() -> None:
    options = Options(new_tokens=24, batch_size=8, batching="token-budget", token_budget=99, seed=3)
    asked = Workload.of(options, "cpu")
    assert asked.without(["new_tokens", "gpt_dist"], "cpu").label("cpu") == "b8.budget99.seed3"
    assert asked.without(["token_budget", "seed"], "cpu").label("cpu") == "b8.n24"


def test_prompts_given_in_code_are_in_the_label_by_their_content() -> None:
    labels = {replace(PLAIN, prompts=given_prompts([text])).label("cpu") for text in ("one", "two", "one")}
    assert len(labels) == 2
    assert all(label.startswith("prompts-") for label in labels)


def test_files_are_in_the_label_by_the_names_they_are_given() -> None:
    names = PathNames("my model-12ab34", "chat-56cd78")
    options = Options(model="/models/my model", prompts="/data/chat.jsonl")
    assert Workload.of(options, "cpu").label("cpu", names) == "my_model-12ab34.chat-56cd78"
