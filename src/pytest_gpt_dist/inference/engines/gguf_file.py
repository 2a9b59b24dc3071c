"""A model as a GGUF file, the format that llama.cpp reads, laid out as its own converters do it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from transformers import PreTrainedModel

from pytest_gpt_dist.model.config import DecoderConfig, Rotary
from pytest_gpt_dist.model.rotary import frequencies

_ARCHITECTURES: Mapping[str, MODEL_ARCH] = {
    "gpt2": MODEL_ARCH.GPT2,
    "llama": MODEL_ARCH.LLAMA,
    "qwen3": MODEL_ARCH.QWEN3,
}


def write_gguf(file: Path, config: DecoderConfig, model: PreTrainedModel) -> None:
    """Write a model without a tokenizer: matrices in the model's dtype, vectors in float32.

    Args:
        file: to be made.
        config: the model's shape.
        model: its weights, on the CPU in float32, bfloat16 or float16.
    """
    architecture = _ARCHITECTURES[config.architecture]
    writer = GGUFWriter(file, MODEL_ARCH_NAMES[architecture])
    _describe(writer, config)
    names = get_tensor_name_map(architecture, config.dimensions.layers)
    for name, parameter in model.named_parameters():  # a tied head once, as llama.cpp wants it
        own = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert own is not None
        _add(writer, own, _arranged(config, name, parameter.detach()))
    if config.rotary is not None and config.rotary.scaling is not None:
        _add(writer, "rope_freqs.weight", _stretches(config.rotary, config.dimensions.head_dim))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: GGUFWriter, config: DecoderConfig) -> None:
    size = config.dimensions
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(size.vocabulary)
    writer.add_context_length(size.positions)
    writer.add_embedding_length(size.hidden)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(size.mlp)
    writer.add_head_count(size.heads)
    writer.add_head_count_kv(size.kv_heads)
    writer.add_key_length(size.head_dim)
    writer.add_value_length(size.head_dim)
    if config.rotary is None:
        writer.add_layer_norm_eps(config.epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.epsilon)
        writer.add_rope_dimension_count(size.head_dim)
        writer.add_rope_freq_base(config.rotary.theta)


def _arranged(config: DecoderConfig, name: str, values: torch.Tensor) -> torch.Tensor:
    """Return a checkpoint's tensor in llama.cpp's order."""
    size = config.dimensions
    if config.architecture == "gpt2" and ".h." in name:
        return values.T if values.dim() == 2 else values  # Conv1D keeps its weight as [inputs, outputs]
    if config.architecture == "llama" and ".q_proj." in name:
        return _paired(values, size.heads)
    if config.architecture == "llama" and ".k_proj." in name:
        return _paired(values, size.kv_heads)
    return values


def _paired(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Return rows of heads so that those that are rotated together lie together, not half a head apart."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.transpose(1, 2).reshape(values.shape)


def _stretches(rotary: Rotary, head_dim: int) -> torch.Tensor:
    """Return by how much a rule of scaling stretches each wavelength, ``[head_dim / 2]``."""
    return frequencies(replace(rotary, scaling=None), head_dim) / frequencies(rotary, head_dim)


def _add(writer: GGUFWriter, name: str, values: torch.Tensor) -> None:
    if values.dim() == 1:
        values = values.float()  # llama.cpp adds and scales in nothing else
    if values.dtype == torch.bfloat16:  # which numpy does not know
        writer.add_tensor(
            name, values.contiguous().view(torch.uint8).numpy(), raw_dtype=GGMLQuantizationType.BF16
        )
    else:
        writer.add_tensor(name, values.contiguous().numpy())
