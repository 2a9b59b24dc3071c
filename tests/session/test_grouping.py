"""The heading under which pytest-benchmark's own tables put what compares."""

from typing import Any

from pytest_gpt_dist.results.heading import workload
from pytest_gpt_dist.session.grouping import group_by_workload

INFO: dict[str, Any] = {
    "model": "gpt2",
    "weights": "random",
    "dtype": "float32",
    "scaling": "weak",
    "batch_size": 4,
    "prompt_tokens": [3, 60],
    "new_tokens": 8,
    "requests": 4,
    "sampling": {"greedy": True, "temperature": None, "top_p": None, "repetition_penalty": 1.0},
    "device_name": "H200",
}


def test_another_batching_is_another_workload() -> None:
    assert workload(INFO) == "gpt2 · float32 · weak · batch 4 · 3…60 + 8 tokens · H200"
    assert workload(INFO | {"batching": "in-order"}) == workload(INFO)
    assert " · batch 4 · by-length · " in workload(INFO | {"batching": "by-length"})


def test_what_is_foreign_or_damaged_has_no_heading_and_costs_no_other() -> None:
    ours = INFO | {"fingerprint": {}, "launches": [[1.0]], "unit": "seconds"}
    rows = [
        {"name": name, "group": None, **entry}
        for name, entry in {
            "ours": {"extra_info": ours},
            "damaged": {"extra_info": ours | {"model": 7}},
            "theirs": {"extra_info": {"model": "theirs"}},
            "bare": {},
        }.items()
    ]
    (heading, others), (_, mine) = group_by_workload(None, rows, "group")
    assert heading is None
    assert [row["name"] for row in others] == ["bare", "damaged", "theirs"]
    assert [row["name"] for row in mine] == ["ours"]
