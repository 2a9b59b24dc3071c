"""The matrix: which cases there are, and what they are called."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.inference.workload import Workload
from pytest_gpt_dist.measure.matrix import MatrixCase, matrix
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry, builtin

STRATEGIES = ("pure_data_parallel", "tensor_data_hybrid", "pipeline_data_hybrid", "full_model_parallel")


def cases(device: str = "cpu", **options: Any) -> list[MatrixCase]:
    chosen = Options(**options)
    return matrix(chosen, STRATEGIES, Workload.of(chosen, device).label(device))


def test_the_built_in_strategies_come_in_the_documented_order() -> None:
    registry = Registry()
    builtin(registry)
    assert registry.strategies == STRATEGIES


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_there_are_exactly_nine_cases_by_default(device: str) -> None:
    assert [case.id for case in cases(device)] == [
        "1gpu-pure_data_parallel",
        "2gpu-pure_data_parallel",
        "2gpu-tensor_data_hybrid",
        "2gpu-pipeline_data_hybrid",
        "2gpu-full_model_parallel",
        "4gpu-pure_data_parallel",
        "4gpu-tensor_data_hybrid",
        "4gpu-pipeline_data_hybrid",
        "4gpu-full_model_parallel",
    ]


def test_other_counts_have_every_strategy_and_one_device_has_one() -> None:
    made = [(case.gpus, case.strategy) for case in cases(gpus=(1, 3, 8))]
    assert made == [(1, STRATEGIES[0]), *((gpus, name) for gpus in (3, 8) for name in STRATEGIES)]


@settings(deadline=None)
@given(dp=st.integers(1, 8), pp=st.integers(1, 8), tp=st.integers(1, 8))
def test_degrees_replace_the_matrix_by_the_layout_they_name(dp: int, pp: int, tp: int) -> None:
    (case,) = cases(data_parallel=dp, pipeline_parallel=pp, tensor_parallel=tp)
    assert case.gpus == dp * pp * tp
    assert Layout.parse(case.strategy) == Layout(dp, pp, tp)
    assert case.id == f"{case.gpus}gpu-{case.strategy}"


def test_omitted_degrees_are_1() -> None:
    (case,) = cases(pipeline_parallel=2, tensor_parallel=2)
    assert case.id == "4gpu-dp1pp2tp2"


def test_another_workload_and_engine_are_appended_in_this_order() -> None:
    (native, other) = cases(
        gpus=(1,), engine=("native", "transformers"), model="gpt2-xl", dtype="float16", batch_size=8
    )
    assert native.id == "1gpu-pure_data_parallel-gpt2-xl.float16.b8"
    assert other.id == "1gpu-pure_data_parallel-gpt2-xl.float16.b8-transformers"
    assert (native.engine, other.engine) == ("native", "transformers")


def test_engines_of_a_layout_run_one_after_the_other() -> None:
    made = [(case.strategy, case.engine) for case in cases(gpus=(2,), engine=("mine", "native"))]
    assert made == [(name, engine) for name in STRATEGIES for engine in ("mine", "native")]


@settings(deadline=None)
@given(
    counts=st.sets(st.integers(1, 64), min_size=1, max_size=5),
    engines=st.lists(st.sampled_from(["native", "mine", "yours"]), min_size=1, unique=True),
    batch_size=st.integers(1, 9),
)
def test_ids_are_unique(counts: set[int], engines: list[str], batch_size: int) -> None:
    ids = [
        case.id for case in cases(gpus=tuple(sorted(counts)), engine=tuple(engines), batch_size=batch_size)
    ]
    assert len(ids) == len(set(ids))


@settings(deadline=None)
@given(st.data())
def test_the_same_case_has_the_same_id_in_any_matrix(data: st.DataObject) -> None:
    gpus = data.draw(st.sampled_from([1, 2, 4]))
    assert {case.id for case in cases(gpus=(gpus,))} <= {case.id for case in cases()}
