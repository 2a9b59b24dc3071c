"""A machine that seems to have one GPU: what is chosen for it, and what it cannot run. No rank starts."""

import pytest

from plugin.sessions import error_line
from pytest_gpt_dist.host import machine
from pytest_gpt_dist.host.gpus import Gpu

GPU = Gpu(0, "GPU-1234", "H200", 140 * 2**30)
REASON = "needs 2 GPUs, 1 visible (H200); --gpt-share-gpu checks its results on fewer"


@pytest.fixture
def one_gpu(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setattr(machine, "installed_gpus", lambda: (GPU,))
    monkeypatch.setattr(machine, "driver_version", lambda: "1.2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    return pytester


def test_a_case_is_skipped_with_the_reason(one_gpu: pytest.Pytester) -> None:
    one_gpu.makepyfile("def test_case(gpt_dist): gpt_dist.run(gpus=2, strategy='tensor_data_hybrid')")
    result = one_gpu.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED *: {REASON}"])


def test_a_group_is_skipped_with_the_reason(one_gpu: pytest.Pytester) -> None:
    one_gpu.makepyfile("def test_group(gpt_process_group): gpt_process_group(2).run(print)")
    result = one_gpu.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED *: {REASON}"])


def test_a_gpu_has_its_own_default_workload_and_ids_without_a_suffix(one_gpu: pytest.Pytester) -> None:
    one_gpu.makepyfile(
        """
        import pytest

        @pytest.mark.gpt_dist_matrix
        def test_case(gpt_dist, gpus, strategy, engine): pass
        """
    )
    ids = ["*[[]1gpu-pure_data_parallel[]]", "*[[]2gpu-pure_data_parallel[]]"]
    one_gpu.runpytest_inprocess("--collect-only", "-q").stdout.fnmatch_lines(ids)
    on_cpu = one_gpu.runpytest_inprocess("--collect-only", "-q", "--gpt-device=cpu", "--gpt-model=gpt2-xl")
    on_cpu.stdout.fnmatch_lines(["*[[]1gpu-pure_data_parallel-gpt2-xl[]]"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "--gpt-device=cuda: CUDA_VISIBLE_DEVICES is empty; use --gpt-device=cpu, or auto"),
        ("7", "CUDA_VISIBLE_DEVICES=7 names no GPU of this machine; it has 0 (GPU-1234)"),
    ],
)
def test_a_gpu_that_is_hidden_is_one_line(
    one_gpu: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, asked: str, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked)
    one_gpu.makepyfile(
        """
        import pytest

        @pytest.mark.gpt_dist_matrix
        def test_case(gpt_dist, gpus, strategy, engine): pass
        """
    )
    assert error_line(one_gpu.runpytest_inprocess("--gpt-device=cuda")) == said


def test_no_gpu_at_all_is_one_line_where_one_is_asked_for(
    one_gpu: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "installed_gpus", lambda: ())
    one_gpu.makepyfile("def test_case(gpt_dist): gpt_dist.run()")
    result = one_gpu.runpytest_inprocess("--gpt-device=cuda")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["--gpt-device=cuda: NVML finds no NVIDIA GPU; use --gpt-device=cpu, or auto"]
    )
