"""A user's tests, which the session of test_arguments.py runs with a small model and 8 new tokens."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from pytest_gpt_dist import GptDist, Layout, ProcessGroup, RankGroupError

TEXTS = ["ab", "cde"]
IDS = [[97, 98], [99, 100, 101]]
LANES = [[5, 6, 7], [8, 9], [10]]
UNEVEN = [[5, 6, 7, 8, 9, 10], [11], [12, 13, 14, 15, 16, 17], [18]]


def lengths(tokens: list[list[int]]) -> list[int]:
    return [len(ids) for ids in tokens]


@pytest.mark.gpt_dist(gpus=2, strategy="tensor_data_hybrid", new_tokens=5)
def test_arguments_beat_the_marker(gpt_dist: GptDist) -> None:
    result = gpt_dist.run(strategy="pipeline_data_hybrid", new_tokens=3)
    assert result.layout == Layout(pp=2)
    assert set(lengths(result.tokens)) == {3}


@pytest.mark.gpt_dist(strategy="tensor_data_hybrid", new_tokens=5)
@pytest.mark.parametrize(("gpus", "strategy", "new_tokens"), [(2, "pipeline_data_hybrid", 6)])
def test_the_marker_beats_parameters(gpt_dist: GptDist, gpus: int, strategy: str, new_tokens: int) -> None:
    result = gpt_dist.run()
    assert result.layout == Layout(tp=2)
    assert set(lengths(result.tokens)) == {5}


@pytest.mark.parametrize(("gpus", "strategy", "new_tokens"), [(2, "pipeline_data_hybrid", 6)])
def test_parameters_beat_the_options(gpt_dist: GptDist, gpus: int, strategy: str, new_tokens: int) -> None:
    result = gpt_dist.run()
    assert result.layout == Layout(pp=2)
    assert set(lengths(result.tokens)) == {6}


@pytest.mark.parametrize("case", ["a parameter of the user's own"])
def test_options_fill_in_the_rest(gpt_dist: GptDist, case: str) -> None:
    result = gpt_dist.run()
    assert result.layout == Layout()
    assert lengths(result.tokens) == [8, 8]
    assert result.extra_info["model"] == "tiny"


@pytest.mark.gpt_dist(gpus=2, strategy="tensor_data_hybrid")
def test_degrees_replace_the_markers_strategy(gpt_dist: GptDist) -> None:
    assert gpt_dist.run(pipeline_parallel=2).layout == Layout(pp=2)


def test_a_layout_may_stand_for_a_strategy(gpt_dist: GptDist) -> None:
    result = gpt_dist.run(strategy="dp1pp2tp1")
    assert result.layout == Layout(pp=2)
    assert result.extra_info["strategy"] == "dp1pp2tp1"


def test_degrees_alone_say_how_many_devices(gpt_dist: GptDist) -> None:
    assert gpt_dist.run(data_parallel=2).extra_info["gpus"] == 2


def test_token_ids_are_exactly_the_requests(gpt_dist: GptDist) -> None:
    result = gpt_dist.run(strategy="pure_data_parallel", gpus=2, prompts=LANES, new_tokens=4)
    assert lengths(result.tokens) == [4, 4, 4]
    assert result.extra_info["requests"] == 3
    assert result.extra_info["prompt_tokens"] == [3, 2, 1]


def test_texts_are_their_token_ids(gpt_dist: GptDist) -> None:
    assert gpt_dist.run(prompts=TEXTS).tokens == gpt_dist.run(prompts=IDS).tokens


def test_tokens_come_in_prompt_order(gpt_dist: GptDist) -> None:
    alone = [gpt_dist.run(prompts=[prompt]).tokens[0] for prompt in LANES]
    assert gpt_dist.run(strategy="pipeline_data_hybrid", gpus=2, prompts=LANES).tokens == alone
    assert gpt_dist.run(strategy="pure_data_parallel", gpus=2, prompts=LANES).tokens == alone
    assert len({tuple(tokens) for tokens in alone}) == 3


def test_a_prompts_own_length_counts_unless_told(gpt_dist: GptDist, tmp_path: Any) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"input_ids": [1, 2], "max_length": 3}\n')
    result = gpt_dist.run(prompts=file, requests=2)
    assert lengths(result.tokens) == [8, 8]  # --gpt-new-tokens wins
    assert result.extra_info["prompt_tokens"] == 6  # --gpt-prompt-tokens too


def test_strong_scaling_shares_one_batch(gpt_dist: GptDist) -> None:
    weak = gpt_dist.run(strategy="pure_data_parallel", gpus=2)
    strong = gpt_dist.run(strategy="pure_data_parallel", gpus=2, scaling="strong")
    assert (len(weak.tokens), len(strong.tokens)) == (4, 2)
    assert strong.tokens == weak.tokens[:2]


def test_microbatches_change_the_schedule_and_not_the_tokens(gpt_dist: GptDist) -> None:
    runs = {
        count: gpt_dist.run(strategy="pipeline_data_hybrid", gpus=2, microbatches=count) for count in (1, 4)
    }
    assert runs[1].tokens == runs[4].tokens
    for count, result in runs.items():
        assert result.extra_info["collectives_per_step"]["send"] == [count, count]


@pytest.mark.parametrize(
    ("gpus", "strategy"),
    [
        (1, "pure_data_parallel"),
        (2, "pure_data_parallel"),
        (2, "tensor_data_hybrid"),
        (2, "pipeline_data_hybrid"),
    ],
)
def test_batching_changes_the_batches_and_not_the_tokens(gpt_dist: GptDist, gpus: int, strategy: str) -> None:
    in_order = gpt_dist.run(prompts=UNEVEN, gpus=gpus, strategy=strategy)
    by_length = gpt_dist.run(prompts=UNEVEN, batching="by-length")
    budgeted = gpt_dist.run(prompts=UNEVEN, batching="token-budget", token_budget=18)
    assert in_order.tokens == by_length.tokens == budgeted.tokens
    assert len({tuple(tokens) for tokens in in_order.tokens}) == 4


def test_what_batching_saves_is_saved(gpt_dist: GptDist) -> None:
    padding = {
        batching: gpt_dist.run(prompts=UNEVEN, batching=batching).extra_info
        for batching in ("in-order", "by-length")
    }
    assert [info["batching"] for info in padding.values()] == ["in-order", "by-length"]
    assert [info["padding_fraction"] for info in padding.values()] == [pytest.approx(10 / 24), 0]
    assert [info["padding_fraction_in_order"] for info in padding.values()] == [pytest.approx(10 / 24)] * 2
    prints = [info["fingerprint"] for info in padding.values()]
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    "rules",
    [
        {"temperature": 1.5},
        {"top_p": 0.9},
        {"repetition_penalty": 1.8},
        {"temperature": 2.0, "top_p": 0.8, "seed": 3},
    ],
    ids=["temperature", "top_p", "penalty", "all"],
)
def test_sampling_changes_tokens_and_no_layout_does(gpt_dist: GptDist, rules: dict[str, Any]) -> None:
    fixed: dict[str, Any] = {"prompts": LANES, "dtype": "float64"}
    greedy = gpt_dist.run(**fixed)
    sampled = gpt_dist.run(**fixed, **rules)
    split = gpt_dist.run(**fixed, **rules, strategy="tensor_data_hybrid", gpus=2)
    assert split.tokens == sampled.tokens
    assert sampled.tokens != greedy.tokens
    assert split.extra_info["sampling"]["greedy"] == ("repetition_penalty" in rules)


def test_another_seed_draws_other_tokens(gpt_dist: GptDist) -> None:
    one, other = (gpt_dist.run(prompts=LANES, temperature=2.0, seed=seed).tokens for seed in (1, 2))
    assert one != other


def test_figures_are_none(gpt_dist: GptDist) -> None:
    result = gpt_dist.run(gpus=2, strategy="tensor_data_hybrid")
    figures = ("tokens_per_s", "latency_s", "ttft_s", "tpot_s", "itl_s", "speedup", "efficiency")
    assert [getattr(result, figure) for figure in figures] == [None] * 7
    assert result.extra_info["matches_reference"] is True


WRONG: dict[str, dict[str, Any]] = {
    "argument": {"strategi": "pure_data_parallel"},
    "strategy": {"strategy": "tensor_data_hybird"},
    "strategy-type": {"strategy": 4},
    "layout": {"strategy": "dp1pp2"},
    "engine": {"engine": "nativ"},
    "engine-type": {"engine": 3},
    "engine-list": {"engine": ["native"]},
    "model": {"model": "gpt2-larg"},
    "model-type": {"model": 7},
    "gpus": {"gpus": 0},
    "gpus-type": {"gpus": "2"},
    "batch": {"batch_size": 0},
    "dtype": {"dtype": "float8"},
    "rounds": {"rounds": 0},
    "both": {"strategy": "pure_data_parallel", "tensor_parallel": 2},
    "degrees": {"gpus": 4, "tensor_parallel": 2},
    "prompts": {"prompts": "Hello.jsonl"},
    "prompts-type": {"prompts": 3},
    "prompts-empty": {"prompts": []},
    "prompts-ids": {"prompts": [[1], [400]]},
    "prompts-count": {"prompts": [[1]], "requests": 4},
    "context": {"prompts": [[1] * 60]},
    "batching": {"batching": "by-size"},
    "batching-alone": {"batching": "token-budget"},
    "budget-alone": {"token_budget": 64},
    "budget": {"prompts": LANES, "batching": "token-budget", "token_budget": 10},
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong(gpt_dist: GptDist, arguments: dict[str, Any]) -> None:
    gpt_dist.run(**arguments)


@pytest.mark.gpt_dist(4)
def test_wrong_marker(gpt_dist: GptDist) -> None:
    gpt_dist.run()


@pytest.mark.gpt_dist(gpu=4)
def test_wrong_keyword_of_the_marker(gpt_dist: GptDist) -> None:
    gpt_dist.run()


@pytest.mark.gpt_dist(engine=None)
def test_none_is_left_out(gpt_dist: GptDist) -> None:
    assert gpt_dist.run(model=None, new_tokens=None).extra_info["engine"] == "native"


def add(one: int, other: int) -> tuple[int, int]:
    import torch.distributed as dist  # noqa: PLC0415

    return dist.get_rank(), dist.get_world_size() * (one + other)


def die_on_rank_1() -> None:
    import torch.distributed as dist  # noqa: PLC0415

    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


Groups = Callable[[int], ProcessGroup]


def test_a_group_runs_a_function_of_the_test_module(gpt_process_group: Groups) -> None:
    assert gpt_process_group(2).run(add, 3, 4) == [(0, 14), (1, 14)]


def test_a_rank_that_dies(gpt_process_group: Groups) -> None:
    gpt_process_group(2).run(die_on_rank_1)


def test_the_next_test_has_a_new_group(gpt_process_group: Groups) -> None:
    assert gpt_process_group(2).run(add, 1, 1) == [(0, 4), (1, 4)]


def test_a_death_can_be_caught(gpt_process_group: Groups) -> None:
    with pytest.raises(RankGroupError) as caught:
        gpt_process_group(2).run(die_on_rank_1)
    assert caught.value.ranks == (1,)


def test_a_function_that_cannot_travel(gpt_process_group: Groups) -> None:
    gpt_process_group(1).run(lambda: None)


def test_a_group_of_nobody(gpt_process_group: Groups) -> None:
    gpt_process_group(0).run(add, 1, 1)
