"""The sizes of a decoder: all that its division over ranks depends on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes of a decoder-only transformer.

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
