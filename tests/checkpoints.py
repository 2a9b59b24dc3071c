"""Small checkpoints that tests write with transformers, and what transformers itself makes of them.

These functions run on ranks, where torch is loaded anyway.
"""

import json
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from pytest_gpt_dist.model.config import DecoderConfig

# Five heads, seven layers, a prime vocabulary and an odd MLP width divide by no degree that is tested.
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 40,
    "n_head": 5,
    "n_layer": 7,
    "n_inner": 101,
    "n_positions": 64,
    "vocab_size": 1009,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
GPT2_UNTIED = GPT2 | {"tie_word_embeddings": False, "activation_function": "gelu"}
# Ten query heads over five groups: two ranks share the group in the middle.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 40,
    "num_attention_heads": 10,
    "num_key_value_heads": 5,
    "head_dim": 6,
    "num_hidden_layers": 7,
    "intermediate_size": 101,
    "max_position_embeddings": 64,
    "vocab_size": 1009,
    "attention_bias": True,
    "mlp_bias": True,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 20.0,  # one frequency of each kind: kept, interpolated, stretched
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}
# Five query heads that all attend to one: every rank has a part of the only group.
QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 40,
    "num_attention_heads": 5,
    "num_key_value_heads": 1,
    "head_dim": 12,
    "num_hidden_layers": 7,
    "intermediate_size": 101,
    "max_position_embeddings": 64,
    "vocab_size": 1009,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt2-untied": GPT2_UNTIED,
    "llama": LLAMA,
    "qwen3": QWEN3,
}


def read_config(folder: str) -> DecoderConfig:
    """Read the shape of a checkpoint as the catalog does."""
    file = Path(folder) / "config.json"
    return DecoderConfig.from_hf(json.loads(file.read_text()), str(file))


def write_checkpoint(folder: str, values: dict[str, Any], dtype: str, max_shard_size: str = "5GB") -> None:
    """Write a checkpoint with ``save_pretrained``, of which greedy tokens vary and no bias is zero."""
    model: Any = transformers.AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        transformers.AutoConfig.for_model(**values)
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(0.05 * noise if name.endswith("bias") else 1 + 0.1 * noise)
                continue
            inputs = parameter.shape[0 if values["model_type"] == "gpt2" and ".h." in name else 1]
            gain = 4 if "wpe" in name else 1 if name.endswith(("c_proj.weight", "o_proj.weight")) else 2
            parameter.copy_(noise * gain / inputs**0.5)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=max_shard_size)


def load_reference(folder: str, dtype: str, *, exact_norms: bool = True) -> Any:
    """Load a checkpoint into transformers' own class.

    Args:
        folder: of the checkpoint.
        dtype: to run in.
        exact_norms: compute RMSNorms in float64 where the model does; transformers rounds them to float32 even
            there, which alone moves logits by 1e-7.
    """
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.eval()
    if exact_norms and dtype == "float64":
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.forward = MethodType(_rms_norm, module)
    return model


def _rms_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    scaled: torch.Tensor = (
        x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon) * self.weight
    )
    return scaled


def continue_greedily(
    model: Any, prompt: tuple[int, ...], new_tokens: int
) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Return the reference's greedy tokens and the logits that chose them, ``[new_tokens, vocabulary]``.

    The whole context is computed anew for each token: no cache that could share a mistake with ours.
    """
    tokens, logits = list(prompt), []
    with torch.no_grad():
        for _ in range(new_tokens):
            last = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
            logits.append(last.double().numpy())
            tokens.append(int(last.argmax()))
    return tokens[len(prompt) :], np.stack(logits)


def continue_penalised(model: Any, prompt: tuple[int, ...], new_tokens: int, penalty: float) -> list[int]:
    """Return what transformers' own ``generate`` makes greedily under a repetition penalty."""
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt])
    with torch.no_grad():
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=new_tokens,
            repetition_penalty=penalty,
            pad_token_id=0,
        )
    tokens: list[int] = made[0, len(prompt) :].tolist()
    return tokens
