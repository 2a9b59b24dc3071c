"""Which models a session keeps between launches."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gpt_dist.inference import weight_cache_policy as rule
from pytest_gpt_dist.inference.engines import ModelSource
from pytest_gpt_dist.inference.weight_cache_policy import WeightCachePolicy
from pytest_gpt_dist.model.presets import GPT2_MINI
from pytest_gpt_dist.parallel import Layout

SOURCE = ModelSource(GPT2_MINI.config, None, 0, "bfloat16")


def policy(folder: Path, device: str = "cpu", *, cases: int = 1, paired: bool = False) -> WeightCachePolicy:
    return WeightCachePolicy(lambda: folder, device, cases=cases, paired=paired)


def test_what_is_launched_once_is_not_kept(tmp_path: Path) -> None:
    alone = policy(tmp_path)
    assert alone.for_launch(SOURCE, Layout(), 1) == SOURCE
    assert alone.for_reference(SOURCE) == SOURCE


def test_launches_of_one_case_are_kept_but_not_its_reference(tmp_path: Path) -> None:
    cached = replace(SOURCE, weight_cache=str(tmp_path / "weights"))
    assert policy(tmp_path).for_launch(SOURCE, Layout(), 2) == cached
    assert policy(tmp_path, paired=True).for_launch(SOURCE, Layout(), 1) == cached
    assert policy(tmp_path, paired=True).for_reference(SOURCE) == SOURCE


def test_several_cases_share_what_they_and_their_references_make(tmp_path: Path) -> None:
    cached = replace(SOURCE, weight_cache=str(tmp_path / "weights"))
    several = policy(tmp_path, cases=2)
    assert several.for_launch(SOURCE, Layout(), 1) == several.for_reference(SOURCE) == cached
    assert (tmp_path / "weights").is_dir()


def test_neither_checkpoints_nor_what_is_made_on_a_gpu_are_kept(tmp_path: Path) -> None:
    checkpoint = replace(SOURCE, folder=str(tmp_path))
    assert policy(tmp_path, cases=2).for_launch(checkpoint, Layout(), 2) == checkpoint
    assert policy(tmp_path, "cuda", cases=2).for_launch(SOURCE, Layout(), 2) == SOURCE


def test_a_model_that_would_take_too_much_room_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pytest_gpt_dist")
    size = replace(SOURCE.config.dimensions, vocabulary=2**24, layers=10_000, mlp=2**22)
    large = replace(SOURCE, config=replace(SOURCE.config, dimensions=size))
    several = policy(tmp_path, cases=2)
    for _ in range(2):
        assert several.for_launch(large, Layout(dp=2), 1) == large
    assert several.for_reference(large) == large
    first, second = (record.getMessage() for record in caplog.records)
    assert "for dp2·pp1·tp1 in bfloat16, are made anew by every launch" in first
    assert "for dp1·pp1·tp1 in float32, are made anew by every launch" in second


def test_a_containers_limit_of_memory_counts_as_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "memory_left_bytes", lambda: 2**20)
    assert policy(tmp_path, cases=2).for_launch(SOURCE, Layout(), 1) == SOURCE
