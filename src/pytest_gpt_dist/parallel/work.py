"""What a generation has to move and to compute, whoever does it: the numerators of the fractions of the limit."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.parallel.dimensions import Dimensions
from pytest_gpt_dist.parallel.expected_traffic import share
from pytest_gpt_dist.parallel.layout import Coordinates, Layout
from pytest_gpt_dist.parallel.stages import stages


@dataclass(frozen=True, slots=True)
class Passes:
    """The forward passes of a microbatch: its prompts' lengths, and how many tokens each of them gets."""

    prompts: Sequence[int]
    steps: int


def decode_bytes(
    dimensions: Dimensions, layout: Layout, at: Coordinates, itemsize: int, passes: Passes
) -> int:
    """Return the bytes that the rank at ``at`` has to read in the decode steps of a microbatch.

    Every step but the first token's reads the stage's weights once, the head with the last stage and nothing
    of the embedding but single rows, and the keys and values of all tokens before it, one request at a time.
    Activations and what is written to the cache are left out: they are small and may stay in a cache.

    Args:
        dimensions: sizes of the model.
        layout: degrees of the world.
        at: where the rank stands.
        itemsize: bytes of one parameter and of one element of the cache.
        passes: the microbatch.
    """
    mine = share(dimensions, layout, at)
    layers = len(stages(dimensions, layout.pp)[at.pp])
    weights = layers * (mine.matrices + mine.vectors)
    if at.pp == layout.pp - 1:
        weights += mine.table + mine.norm
    decoded = passes.steps - 1
    # Step t reads the prompt and the t - 1 tokens that came before the one it is given.
    cached_tokens = sum(decoded * prompt + decoded * (decoded - 1) // 2 for prompt in passes.prompts)
    cache = layers * 2 * mine.kv_heads * dimensions.head_dim * cached_tokens
    return (decoded * weights + cache) * itemsize


def prefill_flops(dimensions: Dimensions, layout: Layout, at: Coordinates, passes: Passes) -> int:
    """Return the floating-point operations of the rank at ``at`` in the prefill of a microbatch.

    Two for each weight of the matrices and each token; the head for the last token of a prompt only; scores
    and weighted values for each token and those before it, the causal half. Norms and other element-wise
    work are left out. The arguments are those of ``decode_bytes``.
    """
    mine = share(dimensions, layout, at)
    layers = len(stages(dimensions, layout.pp)[at.pp])
    tokens = sum(passes.prompts)
    seen = sum(prompt * (prompt + 1) // 2 for prompt in passes.prompts)
    flops = layers * (2 * mine.matrices * tokens + 4 * mine.heads * dimensions.head_dim * seen)
    if at.pp == layout.pp - 1:
        flops += 2 * mine.table * len(passes.prompts)
    return flops
