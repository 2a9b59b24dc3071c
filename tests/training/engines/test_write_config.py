"""Configurations of other people's trainers, and the table of DeepSpeed's keys."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.training.engines.deepspeed_keys import KEYS
from pytest_gpt_dist.training.engines.write_config import (
    STAGES,
    accelerate_config,
    deepspeed_config,
    write_configs,
)
from pytest_gpt_dist.training.workload import TrainingWorkload

WORKLOAD = TrainingWorkload("qwen3-tiny", "bfloat16", micro_batch_size=2, grad_accumulation=3, warmup_steps=5)


def paths(config: dict[str, Any], before: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in config.items():
        found |= paths(value, f"{before}{name}.") if isinstance(value, dict) else {before + name}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_exactly_the_keys_that_the_table_gives_it(stage: int) -> None:
    expected = {path for path, key in KEYS.items() if stage in key.stages and not key.refused}
    assert paths(deepspeed_config(WORKLOAD, stage, 2, offload=True)) == expected


def test_every_key_has_either_a_source_or_a_reason() -> None:
    assert [path for path, key in KEYS.items() if bool(key.source) == bool(key.refused)] == []


def test_sources_are_fields_of_a_workload() -> None:
    fields = {field.name for field in dataclasses.fields(TrainingWorkload)} | {"fixed", "stage", "offload"}
    assert {key.source for key in KEYS.values() if key.source} <= fields


def test_batch_sizes_multiply() -> None:
    config = deepspeed_config(WORKLOAD, 2, 4)
    assert (config["gradient_accumulation_steps"], config["train_batch_size"]) == (3, 24)


def test_a_global_batch_decides_accumulation() -> None:
    workload = dataclasses.replace(WORKLOAD, grad_accumulation=None, global_batch_size=16)
    assert deepspeed_config(workload, 1, 2)["gradient_accumulation_steps"] == 4


def test_an_accumulation_that_contradicts_the_global_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="the global batch is 16"):
        deepspeed_config(dataclasses.replace(WORKLOAD, global_batch_size=16), 1, 2)


def test_buckets_are_counted_in_elements() -> None:
    zero = deepspeed_config(dataclasses.replace(WORKLOAD, bucket_mb=8), 2, 2)["zero_optimization"]
    assert zero["reduce_bucket_size"] == 2 * 2**20


@pytest.mark.parametrize(
    "changed", [{"dtype": "float64"}, {"optimizer": "sgd"}, {"schedule": "cosine"}, {"global_batch_size": 7}]
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=str(next(iter(changed.values())))):
        write_configs(tmp_path / "new", dataclasses.replace(WORKLOAD, **changed), 2, "cpu")
    assert not (tmp_path / "new").exists()


def test_five_files_are_written(tmp_path: Path) -> None:
    written = write_configs(tmp_path, WORKLOAD, 2, "cpu")
    assert [path.name for path in written] == [f"ds_config_stage{n}.json" for n in STAGES] + [
        "accelerate_config.yaml"
    ]
    assert json.loads(written[3].read_text())["zero_optimization"]["stage"] == 3


@pytest.mark.parametrize(
    ("ranks", "device", "kind"), [(1, "cpu", "'NO'"), (2, "cpu", "MULTI_CPU"), (2, "cuda", "MULTI_GPU")]
)
def test_accelerate_is_told_its_kind_of_ranks(ranks: int, device: str, kind: str) -> None:
    assert f"distributed_type: {kind}\n" in accelerate_config(WORKLOAD, ranks, device)
