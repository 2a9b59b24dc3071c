"""What the engines around libraries refuse before any rank starts."""

import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import pytest_gpt_dist.inference.engines.capabilities
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines import ModelSource, Request, Sampling, Task
from pytest_gpt_dist.inference.engines.capabilities import (
    COMPILED_NATIVE,
    CTRANSLATE2,
    LLAMA_CPP,
    TRANSFORMERS,
    TRANSFORMERS_EAGER,
    Limits,
)
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry, builtin

_GPT2 = {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_positions": 64}
GPT2 = DecoderConfig.from_hf(_GPT2, "tiny")
_LLAMA = {
    "model_type": "llama",
    "hidden_size": 40,
    "num_attention_heads": 10,
    "num_hidden_layers": 2,
    "intermediate_size": 100,
    "max_position_embeddings": 64,
    "vocab_size": 1009,  # slices of 202, the last of 201
}
LLAMA = DecoderConfig.from_hf(_LLAMA, "tiny")
CUT = DecoderConfig.from_hf(_LLAMA | {"intermediate_size": 101}, "cut")
WIDE = DecoderConfig.from_hf(_LLAMA | {"head_dim": 6}, "wide")
SCALED = DecoderConfig.from_hf(
    _LLAMA
    | {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
    "scaled",
)


_QWEN3 = _LLAMA | {"model_type": "qwen3", "num_key_value_heads": _LLAMA["num_attention_heads"]}
QWEN3 = DecoderConfig.from_hf(_QWEN3, "tiny")


def task(
    config: DecoderConfig = GPT2,
    layout: Layout = Layout(),  # noqa: B008
    *,
    dtype: str = "float32",
    device: str = "cpu",
    sampling: Sampling = Sampling(),  # noqa: B008
    lengths: tuple[tuple[int, int], ...] = ((6, 4), (3, 8)),
) -> Task:
    requests = [Request(index, (1,) * prompt, new) for index, (prompt, new) in enumerate(lengths)]
    batches = plan(requests, layout, len(requests))
    return Task(ModelSource(config, None, 0, dtype), layout, batches, sampling, device)


BOTH = pytest.mark.parametrize("limits", [TRANSFORMERS_EAGER, CTRANSLATE2], ids=lambda limits: limits.library)


@BOTH
@pytest.mark.parametrize("layout", [Layout(), Layout(dp=4)], ids=str)
def test_replicas_of_whole_models_are_not_refused(limits: Limits, layout: Layout) -> None:
    assert limits.refuse(task(layout=layout)) is None
    assert limits.refuse(task(LLAMA, layout=layout)) is None


@pytest.mark.parametrize("layout", [Layout(tp=2), Layout(pp=2), Layout(dp=2, pp=2)], ids=str)
@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=lambda config: config.architecture)
def test_a_layout_that_divides_the_model_is_refused_by_name(config: DecoderConfig, layout: Layout) -> None:
    said = CTRANSLATE2.refuse(task(config, layout=layout))
    assert said is not None
    assert said.startswith("ctranslate2 runs whole models")
    assert str(layout) in said


@pytest.mark.parametrize("layout", [Layout(tp=2), Layout(dp=2, tp=2), Layout(tp=5)], ids=str)
def test_transformers_divides_what_it_has_a_plan_for(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "true")
    assert TRANSFORMERS_EAGER.refuse(task(LLAMA, layout)) is None
    assert TRANSFORMERS.refuse(task(LLAMA, layout)) is None


@pytest.mark.parametrize(
    ("config", "layout", "said"),
    [
        (GPT2, Layout(tp=2), "transformers has no plan to divide gpt2 models, which dp1·pp1·tp2 does"),
        (LLAMA, Layout(pp=2), "transformers runs no pipelines here, and dp1·pp2·tp1 is one"),
        (LLAMA, Layout(pp=2, tp=2), "transformers runs no pipelines here, and dp1·pp2·tp2 is one"),
        (LLAMA, Layout(tp=4), "transformers cannot deal 10 key/value heads to 4 ranks"),
        (CUT, Layout(tp=5), "transformers cuts an MLP width of 101 unevenly over 5 ranks"),
    ],
)
def test_transformers_says_why_it_does_not_divide(
    config: DecoderConfig, layout: Layout, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "true")
    for limits in (TRANSFORMERS_EAGER, TRANSFORMERS):
        refused = limits.refuse(task(config, layout))
        assert refused is not None
        assert refused.startswith(said)


def test_transformers_divides_over_gpus_with_nccl_alone() -> None:
    through_host_memory = replace(task(LLAMA, Layout(tp=2), device="cuda"), staged=True)
    assert "shared GPUs" in (TRANSFORMERS_EAGER.refuse(through_host_memory) or "")
    assert TRANSFORMERS_EAGER.refuse(task(LLAMA, Layout(tp=2), device="cuda")) is None
    assert TRANSFORMERS_EAGER.refuse(replace(through_host_memory, layout=Layout(dp=2))) is None


def test_an_older_transformers_divides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_gpt_dist.inference.engines.capabilities, "version", lambda _: "5.17.2")
    refused = TRANSFORMERS_EAGER.refuse(task(LLAMA, Layout(tp=2)))
    assert refused == "transformers divides models here from 5.22 on, and this is 5.17.2"
    assert TRANSFORMERS_EAGER.refuse(task(LLAMA, Layout(dp=2))) is None


@BOTH
def test_rows_that_would_outgrow_the_context_with_their_batch_are_refused(limits: Limits) -> None:
    long_and_short = ((60, 4), (2, 40))
    said = limits.refuse(task(lengths=long_and_short))
    assert said is not None
    assert "request 0 with its 60 prompt tokens would go on for 40" in said
    assert limits.refuse(task(lengths=((60, 4), (2, 4)))) is None
    assert limits.refuse(task(LLAMA, lengths=long_and_short)) is None


@BOTH
def test_float64_is_refused(limits: Limits) -> None:
    assert "float64" in (limits.refuse(task(dtype="float64")) or "")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_are_for_gpus_with_ctranslate2(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pytest_gpt_dist.inference.engines.capabilities._CTRANSLATE2_CUBLAS", "libc.so.6"
    )  # which every machine has
    assert CTRANSLATE2.refuse(task(dtype=dtype)) == f"ctranslate2 has no {dtype} on cpu, only float32"
    assert CTRANSLATE2.refuse(task(dtype=dtype, device="cuda")) is None
    assert TRANSFORMERS_EAGER.refuse(task(dtype=dtype)) is None


def test_ctranslate2_needs_the_cublas_that_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pytest_gpt_dist.inference.engines.capabilities._CTRANSLATE2_CUBLAS", "libno-such-cublas.so.12"
    )
    monkeypatch.setattr(
        "pytest_gpt_dist.inference.engines.capabilities.requires", lambda _: ["nvidia-cublas>=13"]
    )
    assert "pip install nvidia-cublas-cu12" in (CTRANSLATE2.refuse(task(device="cuda")) or "")
    monkeypatch.setattr(
        "pytest_gpt_dist.inference.engines.capabilities.requires", lambda _: ["nvidia-cublas-cu12==12.8.4.1"]
    )
    assert CTRANSLATE2.refuse(task(device="cuda")) is None
    assert CTRANSLATE2.refuse(task()) is None


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=0.5), Sampling(top_p=0.9), Sampling(repetition_penalty=1.2)]
)
def test_only_transformers_samples(sampling: Sampling) -> None:
    assert "sampling options" in (CTRANSLATE2.refuse(task(sampling=sampling)) or "")
    assert TRANSFORMERS_EAGER.refuse(task(sampling=sampling)) is None


@pytest.mark.parametrize(("config", "said"), [(WIDE, "head_dim"), (SCALED, "scaled rotary")])
def test_models_that_ctranslate2_gets_wrong_are_refused(config: DecoderConfig, said: str) -> None:
    assert said in (CTRANSLATE2.refuse(task(config)) or "")
    assert TRANSFORMERS_EAGER.refuse(task(config)) is None


def test_ctranslate2_takes_a_prompt_of_one_token_only_with_its_like() -> None:
    assert "one token" in (CTRANSLATE2.refuse(task(lengths=((1, 4), (3, 4)))) or "")
    assert CTRANSLATE2.refuse(task(lengths=((1, 4), (1, 4)))) is None
    assert TRANSFORMERS_EAGER.refuse(task(lengths=((1, 4), (3, 4)))) is None


@pytest.mark.parametrize("layout", [Layout(), Layout(dp=4)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "config", [LLAMA, WIDE, SCALED, CUT, QWEN3], ids=["llama", "wide", "scaled", "cut", "qwen3"]
)
def test_llama_cpp_takes_whole_models(config: DecoderConfig, dtype: str, layout: Layout) -> None:
    assert LLAMA_CPP.refuse(task(config, layout, dtype=dtype)) is None
    assert LLAMA_CPP.refuse(task(config, layout, dtype=dtype, sampling=Sampling(temperature=0.5))) is None


@pytest.mark.parametrize("layout", [Layout(tp=2), Layout(pp=2), Layout(dp=2, pp=2)], ids=str)
def test_llama_cpp_divides_nothing(layout: Layout) -> None:
    said = LLAMA_CPP.refuse(task(LLAMA, layout))
    assert said is not None
    assert said.startswith(f"llama_cpp runs whole models here, which {layout} divides")


def test_llama_cpp_knows_neither_gpus_nor_float64() -> None:
    assert "this is cuda" in (LLAMA_CPP.refuse(task(LLAMA, device="cuda")) or "")
    said = LLAMA_CPP.refuse(task(LLAMA, dtype="float64"))
    assert said == "llama_cpp has no float64, only float32, float16, bfloat16"


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        (_GPT2, "float32", "table of 16-bit numbers"),
        (_GPT2 | {"activation_function": "gelu"}, "float16", "its own GELU alone"),
        (
            _QWEN3 | {"attention_bias": True},
            "float32",
            "no bias of attention's output",
        ),
    ],
)
def test_models_that_llama_cpp_computes_otherwise_are_refused(
    values: dict[str, Any], dtype: str, said: str
) -> None:
    assert said in (LLAMA_CPP.refuse(task(DecoderConfig.from_hf(values, "tiny"), dtype=dtype)) or "")


def test_gpt2_is_for_llama_cpp_in_16_bits_within_its_context() -> None:
    assert LLAMA_CPP.refuse(task(GPT2, dtype="bfloat16")) is None
    said = LLAMA_CPP.refuse(task(GPT2, dtype="bfloat16", lengths=((60, 4), (2, 40))))
    assert "request 0 with its 60 prompt tokens would go on for 40" in (said or "")


def test_llama_cpp_decodes_no_more_rows_than_it_was_built_for() -> None:
    assert LLAMA_CPP.refuse(task(LLAMA, lengths=((3, 4),) * 256)) is None
    said = LLAMA_CPP.refuse(task(LLAMA, lengths=((3, 4),) * 257))
    assert said == "llama_cpp decodes at most 256 rows together, and a batch has 257"


@pytest.mark.parametrize(
    ("device", "layout", "said"),
    [("cpu", Layout(), "CUDA graphs"), ("cuda", Layout(pp=2, tp=2), "all-reduces of dp1·pp2·tp2")],
)
def test_compiled_layers_are_for_gpus_that_share_none(device: str, layout: Layout, said: str) -> None:
    refused = COMPILED_NATIVE.lacks(task(layout=layout, device=device))
    assert refused is not None
    assert said in refused
    assert COMPILED_NATIVE.lacks(task(layout=Layout(dp=2, pp=2), device="cuda")) is None


def test_compiled_layers_need_a_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    refused = COMPILED_NATIVE.lacks(task(device="cuda"))
    assert refused == "native-compiled needs a C compiler (no-such-compiler): install one, or take native"


def test_compiled_layers_need_pythons_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "true")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    refused = COMPILED_NATIVE.lacks(task(device="cuda"))
    assert refused == f"native-compiled needs {tmp_path}/Python.h: install Python's headers, or take native"
    (tmp_path / "Python.h").touch()
    assert COMPILED_NATIVE.lacks(task(device="cuda")) is None


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "needs no-such-compiler; or take the engine transformers-eager" in (
        TRANSFORMERS.refuse(task()) or ""
    )
    assert TRANSFORMERS_EAGER.refuse(task()) is None
    monkeypatch.setenv("CXX", "true")
    assert TRANSFORMERS.refuse(task()) is None
    assert "float64" in (TRANSFORMERS.refuse(task(dtype="float64")) or "")


def test_a_missing_library_comes_first_and_says_how_to_install_it() -> None:
    missing = Limits("no_such_library", "pip install no-such-library", lambda _: "never asked")
    assert missing.lacks(task()) == "no_such_library is not installed: pip install no-such-library"


def test_what_an_engine_imports_besides_its_library_must_be_there_too() -> None:
    missing = Limits("this", "pip install both", lambda _: None, besides=("no_such_library",))
    assert missing.lacks(task()) == "no_such_library is not installed: pip install both"


def test_the_version_is_that_of_the_package_that_has_the_library() -> None:
    assert Limits("yaml", "", lambda _: None, package="PyYAML").version == version("PyYAML")
    assert Limits("yaml", "", lambda _: None).version is None


def test_a_present_library_is_not_imported() -> None:
    present = Limits("this", "", lambda _: "refused")  # whoever imports it prints the Zen of Python
    assert find_spec("this") is not None
    assert present.lacks(task()) == "refused"
    assert "this" not in sys.modules


def test_built_in_engines_have_their_limits() -> None:
    registry = Registry()
    builtin(registry)
    assert registry.engines == (
        "native", "native-eager", "native-compiled", "transformers", "transformers-eager", "ctranslate2", "llama_cpp",
    )  # fmt: skip
    assert registry.engine_limits("native") is registry.engine_limits("native-eager") is None
    assert registry.engine_limits("native-compiled") is COMPILED_NATIVE
    assert registry.engine_limits("transformers") is TRANSFORMERS
    assert registry.engine_limits("transformers-eager") is TRANSFORMERS_EAGER
    assert registry.engine_limits("ctranslate2") is CTRANSLATE2
    assert registry.engine_limits("llama_cpp") is LLAMA_CPP


def test_limits_are_added_with_the_engine() -> None:
    registry = Registry()
    registry.add_engine(
        "mine", "my_package:Mine", "pytest_gpt_dist.inference.engines.capabilities:TRANSFORMERS"
    )
    registry.add_engine("lost", "my_package:Lost", "no_such_package:LIMITS")
    assert registry.engine_limits("mine") is TRANSFORMERS
    with pytest.raises(UsageError, match="limits of engine 'lost': cannot load no_such_package:LIMITS"):
        registry.engine_limits("lost")
    with pytest.raises(UsageError, match="unknown engine 'mne': did you mean mine"):
        registry.engine_limits("mne")
