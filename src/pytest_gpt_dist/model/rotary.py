"""Rotary position embedding."""

import math

import torch

from pytest_gpt_dist.model.config import Llama3Scaling, Rotary


def rotary_table(
    rotary: Rotary, head_dim: int, positions: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines, each ``[positions, head_dim]``, the sines of the first half negated.

    Angles are computed in float32 whatever the dtype, on the CPU, as the published models have been trained
    with.
    """
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies(rotary, head_dim)
    cosine, sine = angles.cos(), angles.sin()
    return (
        torch.cat((cosine, cosine), dim=-1).to(device, dtype),
        torch.cat((-sine, sine), dim=-1).to(device, dtype),
    )


def frequencies(rotary: Rotary, head_dim: int) -> torch.Tensor:
    """Return by how much each pair of a head turns from one position to the next, ``[head_dim / 2]``, float32."""
    plain = 1.0 / (rotary.theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    return plain if rotary.scaling is None else _stretch(plain, rotary.scaling)


def _stretch(frequencies: torch.Tensor, scaling: Llama3Scaling) -> torch.Tensor:
    """Llama 3.1's rule: long wavelengths are stretched, short ones kept, those between interpolated."""
    wavelengths = 2 * math.pi / frequencies
    longest = scaling.original_positions / scaling.low_freq_factor
    shortest = scaling.original_positions / scaling.high_freq_factor
    smooth = (scaling.original_positions / wavelengths - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    between = (1 - smooth) * frequencies / scaling.factor + smooth * frequencies
    stretched = torch.where(wavelengths > longest, frequencies / scaling.factor, frequencies)
    return torch.where((wavelengths >= shortest) & (wavelengths <= longest), between, stretched)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate ``x`` ``[rows, tokens, heads, head_dim]`` by angles ``[1 or rows, tokens, 1, head_dim]``."""
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)
