"""The heading under which pytest-benchmark's own tables put what compares."""

from typing import Any

from pytest_gpt_dist.grouping import workload

INFO: dict[str, Any] = {
    "model": "gpt2",
    "weights": "random",
    "dtype": "float32",
    "scaling": "weak",
    "batch_size": 4,
    "prompt_tokens": [3, 60],
    "new_tokens": 8,
    "sampling": {"greedy": True, "temperature": None, "top_p": None, "repetition_penalty": 1.0},
    "device_name": "H200",
}


def test_another_batching_is_another_workload() -> None:
    assert workload(INFO) == "gpt2 · float32 · weak · batch 4 · 3…60 + 8 tokens · H200"
    assert workload(INFO | {"batching": "in-order"}) == workload(INFO)
    assert " · batch 4 · by-length · " in workload(INFO | {"batching": "by-length"})
