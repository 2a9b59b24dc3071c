"""Contiguous shares of things that need not divide evenly."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Span:
    """The half-open range ``start <= i < stop``."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, index: int) -> bool:
        return self.start <= index < self.stop

    @property
    def slice(self) -> slice:
        """The span as an index."""
        return slice(self.start, self.stop)

    @property
    def range(self) -> range:
        """The indices in the span."""
        return range(self.start, self.stop)

    def scaled(self, factor: int) -> "Span":
        """Return the span when each element is made of ``factor`` smaller ones: heads into columns."""
        return Span(self.start * factor, self.stop * factor)


def split(count: int, parts: int) -> tuple[Span, ...]:
    """Cut ``count`` things into ``parts`` contiguous spans whose sizes differ by at most one.

    The larger spans come first; with fewer things than parts the last spans are empty.
    """
    size, larger = divmod(count, parts)
    bounds = [part * size + min(part, larger) for part in range(parts + 1)]
    return tuple(Span(start, stop) for start, stop in pairwise(bounds))


def kv_heads(query: Span, heads: int, kv_heads: int) -> Span:
    """Return the key/value heads that a run of query heads attends to.

    Query head ``i`` of ``heads`` belongs to group ``i // (heads // kv_heads)``. A group that straddles two
    ranks is in the spans of both: its key/value head is repeated there.
    """
    group = heads // kv_heads
    if not len(query):
        return Span(query.start // group, query.start // group)
    return Span(query.start // group, (query.stop - 1) // group + 1)
