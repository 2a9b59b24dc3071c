"""Which slices of which checkpoint tensors make up a rank's parameters: the plan, without any data."""

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.tensors import HEAD_NAME, embedding_name
from pytest_gpt_dist.parallel import Coordinates, Dimensions, Layout, Span, kv_heads, split, stages


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of a checkpoint tensor.

    Attributes:
        source: name of the tensor.
        rows: of the tensor.
        columns: of the tensor; None for a vector.
        transposed: the rectangle is turned before it becomes rows of the parameter.
    """

    source: str
    rows: Span
    columns: Span | None = None
    transposed: bool = False

    @property
    def height(self) -> int:
        """Number of rows of the parameter that the piece becomes."""
        return len(self.columns) if self.transposed and self.columns is not None else len(self.rows)


@dataclass(frozen=True, slots=True)
class Share:
    """A parameter of a rank: pieces of one width, one below the other.

    Attributes:
        name: what the decoder calls it.
        shape: of the parameter, linear weights as ``[outputs, inputs]``.
        pieces: from top to bottom.
    """

    name: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Slices:
    """What a rank holds of each thing that is divided.

    Attributes:
        layers: the layers of its stage.
        heads: its query heads.
        kv_heads: the key/value heads that they attend to.
        mlp: its columns of the MLP.
        vocabulary: its tokens, of the embedding as of the head.
        first: it is on the first stage, which has the embedding.
        last: it is on the last stage, which has the head.
    """

    layers: Span
    heads: Span
    kv_heads: Span
    mlp: Span
    vocabulary: Span
    first: bool
    last: bool


def slices(dimensions: Dimensions, layout: Layout, at: Coordinates) -> Slices:
    """Return what the rank at ``at`` holds.

    Raises:
        UsageError: when there are more stages than layers, or more tensor-parallel ranks than tokens.
    """
    if layout.tp > dimensions.vocabulary:
        raise UsageError(
            f"tensor parallel {layout.tp}: the vocabulary has {dimensions.vocabulary} tokens, "
            "and each rank needs one"
        )
    heads = split(dimensions.heads, layout.tp)[at.tp]
    return Slices(
        layers=stages(dimensions, layout.pp)[at.pp],
        heads=heads,
        kv_heads=kv_heads(heads, dimensions.heads, dimensions.kv_heads),
        mlp=split(dimensions.mlp, layout.tp)[at.tp],
        vocabulary=split(dimensions.vocabulary, layout.tp)[at.tp],
        first=at.pp == 0,
        last=at.pp == layout.pp - 1,
    )


def plan(config: DecoderConfig, layout: Layout, at: Coordinates) -> tuple[Share, ...]:
    """Return the parameters of the rank at ``at``.

    The head is among them unless it is tied to an embedding on the same rank.

    Raises:
        UsageError: when there are more stages than layers, or more tensor-parallel ranks than tokens.
    """
    own = slices(config.dimensions, layout, at)
    return tuple(_gpt2(config, own) if config.architecture == "gpt2" else _llama(config, own))


def _share(name: str, *pieces: Piece) -> Share:
    rows = sum(piece.height for piece in pieces)
    first = pieces[0]
    if first.columns is None:
        return Share(name, (rows,), pieces)
    return Share(name, (rows, len(first.rows if first.transposed else first.columns)), pieces)


def _tables(config: DecoderConfig, own: Slices) -> Iterator[Share]:
    size = config.dimensions
    width = Span(0, size.hidden)
    if own.first:
        yield _share("embedding", Piece(embedding_name(config), own.vocabulary, width))
    if own.last and not (size.tied and own.first):
        source = embedding_name(config) if size.tied else HEAD_NAME
        yield _share("head", Piece(source, own.vocabulary, width))


def _gpt2(config: DecoderConfig, own: Slices) -> Iterator[Share]:
    size = config.dimensions
    full = Span(0, size.hidden)
    yield from _tables(config, own)
    if own.first:
        yield _share("positions", Piece("transformer.wpe.weight", Span(0, size.positions), full))

    def norm(name: str, source: str) -> Iterator[Share]:
        for part in ("weight", "bias"):
            yield _share(f"{name}.{part}", Piece(f"{source}.{part}", full))

    # Queries, keys and values stand side by side in one matrix; of each the rank takes the columns of its
    # heads.
    columns = own.heads.scaled(size.head_dim)
    fused = [
        Span(block * size.hidden + columns.start, block * size.hidden + columns.stop) for block in range(3)
    ]
    for layer in own.layers.range:
        source, name = f"transformer.h.{layer}", f"layers.{layer}"
        yield from norm(f"{name}.attention_norm", f"{source}.ln_1")
        attention = f"{source}.attn.c_attn"
        yield _share(
            f"{name}.qkv.weight",
            *(Piece(f"{attention}.weight", full, part, transposed=True) for part in fused),
        )
        yield _share(f"{name}.qkv.bias", *(Piece(f"{attention}.bias", part) for part in fused))
        yield _share(
            f"{name}.output.weight", Piece(f"{source}.attn.c_proj.weight", columns, full, transposed=True)
        )
        yield _share(f"{name}.output.bias", Piece(f"{source}.attn.c_proj.bias", full))
        yield from norm(f"{name}.mlp_norm", f"{source}.ln_2")
        yield _share(f"{name}.up.weight", Piece(f"{source}.mlp.c_fc.weight", full, own.mlp, transposed=True))
        yield _share(f"{name}.up.bias", Piece(f"{source}.mlp.c_fc.bias", own.mlp))
        yield _share(
            f"{name}.down.weight", Piece(f"{source}.mlp.c_proj.weight", own.mlp, full, transposed=True)
        )
        yield _share(f"{name}.down.bias", Piece(f"{source}.mlp.c_proj.bias", full))
    if own.last:
        yield from norm("final_norm", "transformer.ln_f")


def _llama(config: DecoderConfig, own: Slices) -> Iterator[Share]:
    size = config.dimensions
    full = Span(0, size.hidden)
    query, key_value = own.heads.scaled(size.head_dim), own.kv_heads.scaled(size.head_dim)

    def column_parallel(name: str, bias: bool, *parts: tuple[str, Span]) -> Iterator[Share]:
        yield _share(f"{name}.weight", *(Piece(f"{source}.weight", rows, full) for source, rows in parts))
        if bias:
            yield _share(f"{name}.bias", *(Piece(f"{source}.bias", rows) for source, rows in parts))

    def row_parallel(name: str, bias: bool, source: str, columns: Span) -> Iterator[Share]:
        yield _share(f"{name}.weight", Piece(f"{source}.weight", full, columns))
        if bias:
            yield _share(f"{name}.bias", Piece(f"{source}.bias", full))

    yield from _tables(config, own)
    for layer in own.layers.range:
        source, name = f"model.layers.{layer}", f"layers.{layer}"
        attention, mlp = f"{source}.self_attn", f"{source}.mlp"
        yield _share(f"{name}.attention_norm.weight", Piece(f"{source}.input_layernorm.weight", full))
        yield from column_parallel(
            f"{name}.qkv",
            size.attention_bias,
            (f"{attention}.q_proj", query),
            (f"{attention}.k_proj", key_value),
            (f"{attention}.v_proj", key_value),
        )
        if size.qk_norm:
            for norm in ("q_norm", "k_norm"):
                yield _share(
                    f"{name}.{norm}.weight", Piece(f"{attention}.{norm}.weight", Span(0, size.head_dim))
                )
        yield from row_parallel(f"{name}.output", size.attention_bias, f"{attention}.o_proj", query)
        yield _share(f"{name}.mlp_norm.weight", Piece(f"{source}.post_attention_layernorm.weight", full))
        yield from column_parallel(
            f"{name}.up", size.mlp_bias, (f"{mlp}.gate_proj", own.mlp), (f"{mlp}.up_proj", own.mlp)
        )
        yield from row_parallel(f"{name}.down", size.mlp_bias, f"{mlp}.down_proj", own.mlp)
    if own.last:
        yield _share("final_norm.weight", Piece("model.norm.weight", full))
