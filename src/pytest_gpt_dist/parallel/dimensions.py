"""The sizes of a decoder: all that its division over ranks depends on."""

from dataclasses import dataclass

from pytest_gpt_dist.bounds import MOST, whole_number
from pytest_gpt_dist.errors import UsageError


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes of a decoder-only transformer, each from 1 to what `bounds` has as the most.

    Attributes:
        layers: number of transformer layers.
        heads: number of query heads.
        kv_heads: number of key/value heads; divides ``heads``.
        head_dim: width of one head.
        hidden: width of the residual stream.
        mlp: width of the hidden layer of the MLP.
        vocabulary: number of tokens.
        positions: longest context, prompt and new tokens together.
        learned_positions: positions are a table of ``positions × hidden`` (else rotary, without parameters).
        tied: the head is the embedding table.
        gated: the MLP has a gate beside its first projection (SwiGLU).
        attention_bias: query, key, value and output projections have biases.
        mlp_bias: the MLP's projections have biases.
        norm_bias: the norms have biases (LayerNorm).
        qk_norm: queries and keys are normalised per head, with a weight of ``head_dim`` each.

    Raises:
        UsageError: when a size is out of bounds, or ``kv_heads`` does not divide ``heads``.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    mlp: int
    vocabulary: int
    positions: int
    learned_positions: bool = False
    tied: bool = False
    gated: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            whole_number(getattr(self, name), f"{name}=", most)
        if self.heads % self.kv_heads:
            raise UsageError(f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}")
