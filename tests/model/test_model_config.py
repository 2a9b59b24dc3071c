"""Shapes read from config.json, presets with published sizes, and models by name."""

import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patience import HANG_S
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model import presets
from pytest_gpt_dist.model.catalog import resolve
from pytest_gpt_dist.model.config import ALIASES, DecoderConfig, Llama3Scaling, Rotary
from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.model.presets import Preset
from pytest_gpt_dist.parallel import parameter_count
from pytest_gpt_dist.registry import Registry, builtin

PRESETS = [preset for preset in vars(presets).values() if isinstance(preset, Preset)]

GPT2 = {"model_type": "gpt2", "n_embd": 40, "n_head": 5, "n_layer": 2}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 40,
    "num_attention_heads": 10,
    "num_key_value_heads": 5,
    "num_hidden_layers": 2,
    "intermediate_size": 101,
    "max_position_embeddings": 64,
    "vocab_size": 1009,
}
QWEN3 = LLAMA | {"model_type": "qwen3"}


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    builtin(registry)
    return registry


# Millions of parameters as the models' own pages have them.
PUBLISHED = {
    "gpt2": 124.44,
    "gpt2-medium": 354.82,
    "gpt2-large": 774.03,
    "gpt2-xl": 1557.61,
    "smollm2-135m": 134.52,
    "smollm2-360m": 361.82,
    "tinyllama-1.1b": 1100.05,
    "llama-3.2-1b": 1235.81,
    "llama-3.2-3b": 3212.75,
    "llama-2-7b": 6738.42,
    "llama-3.1-8b": 8030.26,
    "llama-3.1-70b": 70553.71,
    "qwen3-0.6b": 596.05,
    "qwen3-1.7b": 1720.57,
    "qwen3-4b": 4022.47,
    "qwen3-8b": 8190.74,
    "qwen3-14b": 14768.31,
    "qwen3-32b": 32762.12,
}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets(registry: Registry, preset: Preset) -> None:
    assert registry.model(preset.name) is preset
    assert DecoderConfig.from_hf(preset.config.to_hf(), preset.name) == preset.config
    if preset.pretrained:
        assert parameter_count(preset.config.dimensions) / 1e6 == pytest.approx(
            PUBLISHED[preset.name], abs=0.006
        )


def test_presets_for_training_have_the_counts_that_their_comment_says() -> None:
    shapes = (presets.QWEN3_TINY, presets.QWEN3_SMALL, presets.QWEN3_MEDIUM, presets.QWEN3_LARGE)
    counts = [parameter_count(preset.config.dimensions) / 1e6 for preset in shapes]
    assert counts == pytest.approx([1.84, 26.45, 109.53, 334.81], abs=0.006)


def test_the_small_preset_has_an_odd_number_of_heads() -> None:
    size = presets.GPT2_MINI.config.dimensions
    assert (size.heads, size.hidden, size.layers, size.vocabulary, size.positions) == (5, 320, 6, 50257, 1024)


def test_defaults_are_those_of_transformers() -> None:
    gpt2 = DecoderConfig.from_hf({"model_type": "gpt2"}, "here")
    assert gpt2 == presets.GPT2.config
    llama = DecoderConfig.from_hf(
        {key: value for key, value in LLAMA.items() if "key_value" not in key}, "here"
    )
    assert (llama.dimensions.kv_heads, llama.dimensions.head_dim, llama.dimensions.tied) == (10, 4, False)
    assert llama.rotary == Rotary(10000.0)
    assert DecoderConfig.from_hf(QWEN3, "here").dimensions.head_dim == 128


LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **LLAMA3}, "rope_parameters": None},
    ],
    ids=["transformers 5", "transformers 4", "older"],
)
def test_every_way_to_write_the_rotary_embedding(rope: dict[str, Any]) -> None:
    config = DecoderConfig.from_hf(LLAMA | rope, "here")
    assert config.rotary == Rotary(5e5, Llama3Scaling(8.0, 1.0, 4.0, 8192))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is not supported; these are: gpt2, llama, qwen3"),
        ({}, "model_type None is not supported"),
        (GPT2 | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True is not"),
        (GPT2 | {"scale_attn_weights": False}, "scale_attn_weights False is not supported"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention True is not supported"),
        (
            GPT2 | {"activation_function": "relu"},
            "activation_function 'relu' is not supported; these are: gelu_new",
        ),
        (GPT2 | {"n_head": 3}, "n_embd 40 is not a multiple of n_head 3"),
        (GPT2 | {"n_layer": 0}, "n_layer is 0, must be a whole number from 1 to 10,000"),
        (GPT2 | {"n_layer": 10**6}, "n_layer is 1000000, must be a whole number from 1 to 10,000"),
        (GPT2 | {"n_layer": 10**5000}, "n_layer is a whole number of about 5,000 digits, must be"),
        (GPT2 | {"n_layer": True}, "n_layer is True, must be"),
        (GPT2 | {"n_layer": None}, "n_layer is None, must be"),
        (GPT2 | {"n_layer": "x" * 10**5}, "n_layer is 'xxx.{0,200}$"),
        (
            GPT2 | {"vocab_size": 2**24 + 1},
            "vocab_size is 16777217, must be a whole number from 1 to 16,777,216",
        ),
        ({"model_type": "gpt2", "num_hidden_layers": 0}, "num_hidden_layers is 0, must be"),
        (
            GPT2 | {"hidden_size": 80},
            "n_embd is 40 and hidden_size, another name for it, 80; leave out one of the two",
        ),
        (LLAMA | {"num_hidden_layers": 10001}, "num_hidden_layers is 10001, must be"),
        (LLAMA | {"head_dim": 2**17}, "head_dim is 131072, must be"),
        (GPT2 | {"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', must be true or false"),
        (GPT2 | {"quantization_config": {"bits": 4}}, "quantization_config .* is not supported"),
        (LLAMA | {"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        (
            LLAMA | {"num_key_value_heads": 3},
            "num_attention_heads 10 is not a multiple of num_key_value_heads 3",
        ),
        (LLAMA | {"hidden_size": 41}, "hidden_size 41 is not a multiple of num_attention_heads 10"),
        (LLAMA | {"head_dim": 5}, "head_dim is 5, must be even"),
        (LLAMA | {"rms_norm_eps": 0}, "rms_norm_eps is 0, must be a number above 0"),
        (LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope_type 'yarn' is not supported"),
        (LLAMA | {"rope_scaling": 3}, "rope_scaling is 3, must be a table"),
        (LLAMA | {"rope_parameters": {"rope_type": "llama3"}}, "has no factor"),
        (
            LLAMA | {"rope_parameters": {"rope_type": "llama3", **LLAMA3, "low_freq_factor": 4}},
            "low_freq_factor is 4.0, must be below high_freq_factor, 4.0",
        ),
        (LLAMA | {"rope_parameters": {"full_attention": {"rope_theta": 5}}}, "differ by layer type"),
        (LLAMA | {"rope_theta": None}, "rope_theta is None, must be a number above 0"),
        (LLAMA | {"rope_theta": float("nan")}, "rope_theta is nan, must be a number above 0"),
        (
            LLAMA | {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "partial_rotary_factor 0.5 is not supported",
        ),
        (QWEN3 | {"use_sliding_window": True}, "use_sliding_window True is not supported"),
        (
            QWEN3 | {"layer_types": ["full_attention", "sliding_attention"]},
            "layer_types other than full_attention",
        ),
        ({key: value for key, value in LLAMA.items() if key != "vocab_size"}, "has no vocab_size"),
    ],
)
def test_what_would_be_wrong_in_silence_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^folder/config.json: .*{message}") as error:
        DecoderConfig.from_hf(values, "folder/config.json")
    assert "\n" not in str(error.value)


def by_transformers(values: dict[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING  # noqa: PLC0415  slow

    return CONFIG_MAPPING[values["model_type"]].from_dict(deepcopy(values))


def test_the_other_names_of_a_value_are_those_of_transformers() -> None:
    for kind, other_names in {"llama": {}, "qwen3": {}, **ALIASES}.items():
        mapped = by_transformers({"model_type": kind}).attribute_map
        assert mapped == {other: own for own, other in other_names.items()}


def test_gpt2_by_other_names_is_what_transformers_makes_of_it() -> None:
    values = {
        "model_type": "gpt2",
        "hidden_size": 40,
        "num_attention_heads": 5,
        "num_hidden_layers": 3,
        "max_position_embeddings": 64,
        "n_layer": 3,
    }
    size, theirs = DecoderConfig.from_hf(values, "here").dimensions, by_transformers(values)
    ours = (size.hidden, size.heads, size.layers, size.positions)
    assert ours == (theirs.n_embd, theirs.n_head, theirs.n_layer, theirs.n_positions) == (40, 5, 3, 64)


_ROPE_KEYS = {
    "rope_type": st.sampled_from(["default", "llama3"]),
    "type": st.sampled_from(["default", "llama3"]),
    "rope_theta": st.sampled_from([5.0, 5e5]),
}
_ROPE = st.fixed_dictionaries({key: st.just(value) for key, value in LLAMA3.items()}, optional=_ROPE_KEYS)
_NO_ROPE: st.SearchStrategy[Any] = st.sampled_from([None, {}])


@settings(deadline=None)
@given(
    st.sampled_from([LLAMA, QWEN3]),
    st.fixed_dictionaries(
        {},
        optional={
            "rope_scaling": _ROPE | _NO_ROPE,
            "rope_parameters": _ROPE | _NO_ROPE,
            "rope_theta": st.sampled_from([7.0, 7e5]),
        },
    ),
)
def test_rotary_positions_are_those_of_transformers(model: dict[str, Any], rope: dict[str, Any]) -> None:
    values = model | {"max_position_embeddings": 9000} | rope
    found, theirs = DecoderConfig.from_hf(values, "here").rotary, by_transformers(values).rope_parameters
    assert found is not None
    assert (found.theta, found.scaling is not None) == (theirs["rope_theta"], theirs["rope_type"] == "llama3")


@pytest.mark.parametrize("missing", [{}, {"num_key_value_heads": None}, {"num_key_value_heads": 8}])
def test_key_value_heads_are_those_of_transformers(missing: dict[str, Any]) -> None:
    for kind in ("llama", "qwen3"):
        given = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
        values = given | {"model_type": kind, "num_attention_heads": 64, "hidden_size": 128} | missing
        found = DecoderConfig.from_hf(values, "here").dimensions.kv_heads
        assert found == by_transformers(values).num_key_value_heads


def test_sizes_of_a_preset_are_bounded_too() -> None:
    with pytest.raises(UsageError, match=r"layers=1000000: expected a whole number from 1 to 10,000$"):
        replace(presets.GPT2.config.dimensions, layers=10**6)
    with pytest.raises(UsageError, match="kv_heads"):
        replace(presets.GPT2.config.dimensions, kv_heads=5)


def test_a_preset_has_random_weights(registry: Registry) -> None:
    model = resolve("gpt2-xl", registry)
    assert (model.name, model.config, model.folder) == ("gpt2-xl", presets.GPT2_XL.config, None)
    assert model.weights == "random"
    assert model.tokenizer == "openai-community/gpt2-xl"


def test_a_shape_without_trained_weights_says_so(registry: Registry) -> None:
    with pytest.raises(UsageError, match="no trained weights of this shape exist"):
        resolve("gpt2-mini", registry, "pretrained")


def write_model(folder: Path) -> None:
    """A whole checkpoint, all zeros, as its header says."""
    from pytest_gpt_dist.model.tensors import checkpoint_tensors  # noqa: PLC0415

    (folder / "config.json").write_text(json.dumps(GPT2))
    header, end = {}, 0
    for name, spec in checkpoint_tensors(DecoderConfig.from_hf(GPT2, "here")).items():
        start, end = end, end + 2 * spec.shape[0] * (spec.shape[1] if len(spec.shape) == 2 else 1)
        header[name] = {"dtype": "F16", "shape": list(spec.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(end))


def test_a_folder_has_its_own_weights_unless_random_ones_are_asked_for(
    registry: Registry, tmp_path: Path
) -> None:
    write_model(tmp_path)
    model = resolve(str(tmp_path), registry)
    assert (model.folder, model.weights, model.tokenizer) == (str(tmp_path), "pretrained", None)
    assert model.config.dimensions.heads == 5
    (tmp_path / "tokenizer.json").write_text("{}")
    model = resolve(str(tmp_path), registry, "random")
    assert (model.folder, model.weights, model.tokenizer) == (None, "random", str(tmp_path))


def test_a_folder_in_the_working_directory(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    write_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert resolve("mine", registry).folder == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no model folder, it has no config.json"),
        ("{", "cannot be read as JSON"),
        ("[]", "is not a JSON object"),
        ('{"model_type": "gpt2"}', "has neither model.safetensors"),
        ('{"model_type": ' + "[" * 10**5, "cannot be read as JSON"),
        ('{"model_type": "gpt2", "n_layer": ' + "9" * 10**4 + "}", "cannot be read as JSON"),
        (" " * (2**22 + 1), "is larger than the 4 MiB that such a file may have"),
    ],
)
def test_a_folder_that_is_no_model(
    registry: Registry, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        resolve(str(tmp_path), registry)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt2-xxl", r"unknown model 'gpt2-xxl': did you mean gpt2-xl.*; or give a folder, or a hub name"),
        ("/no/such/folder", "there is no such folder"),
        ("./nothing", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("", "unknown model ''"),
        ("x" * 10**5, "model 'xxx.*': cannot be looked at: File name too long$"),
        ("~nobody-of-that-name/x", "is no name of a folder"),
    ],
)
def test_a_name_that_leads_nowhere(registry: Registry, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(name, registry)


def test_offline_uses_only_what_is_here(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="is not on this machine, and offline was asked for"):
        resolve("somebody/something", registry, offline=True)
    with pytest.raises(UsageError, match="'openai-community/gpt2'"):
        resolve("gpt2", registry, "pretrained", offline=True)


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    """In a process of its own, because the hub's client reads its address when it is imported."""
    code = (
        "from pytest_gpt_dist.model.catalog import resolve\n"
        "from pytest_gpt_dist.registry import Registry\n"
        "from pytest_gpt_dist.errors import UsageError\n"
        "try:\n    resolve('somebody/something', Registry())\n"
        "except UsageError as error:\n    print(error)\n"
    )
    environment = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert "model 'somebody/something': " in done.stdout
    assert "the hub cannot be reached" in done.stdout
    assert done.stdout.count("\n") == 1


def test_itemsizes() -> None:
    assert [itemsize(name) for name in ("float64", "float32", "bfloat16", "float16")] == [8, 4, 2, 2]
    with pytest.raises(UsageError, match="dtype 'int8' is not supported; these are: float64"):
        itemsize("int8")


def test_the_controllers_side_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "import pytest_gpt_dist.parallel, pytest_gpt_dist.inference.engines, pytest_gpt_dist.parallel.strategy\n"
        "import pytest_gpt_dist.model.checkpoint, pytest_gpt_dist.model.sharding, pytest_gpt_dist.model.dtypes\n"
        "from pytest_gpt_dist.model.catalog import resolve\n"
        "from pytest_gpt_dist.registry import Registry, builtin\n"
        "registry = Registry()\n"
        "builtin(registry)\n"
        "[registry.strategy(name).layout(4) for name in registry.strategies]\n"
        "[resolve(name, registry) for name in registry.models]\n"
        "try:\n    resolve('somebody/something', registry, offline=True)\n"
        "except ValueError:\n    pass\n"
        "assert 'huggingface_hub' in sys.modules\n"
        "assert not {'torch', 'transformers', 'numpy'} & sys.modules.keys(), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=HANG_S, check=True)
