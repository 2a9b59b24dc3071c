"""What a layout gains, against what the machine that its ranks share lets them gain. Pure arithmetic, no measuring."""

from __future__ import annotations

from statistics import fmean

from scripts.figures import Figures

from pytest_gpt_dist.parallel import Dimensions, Layout, Passes, decode_bytes


def speedup(alone: Figures, together: Figures) -> float:
    """Tokens per second of several ranks ÷ those of one rank, whose batch is as large as each of theirs."""
    return together.tokens_per_s / alone.tokens_per_s


def readers(alone: Figures, together: Figures) -> float | None:
    """How much more several ranks can read than one: what work gains that does nothing but read memory."""
    if alone.read_bytes_per_s is None or together.read_bytes_per_s is None:
        return None
    return together.read_bytes_per_s / alone.read_bytes_per_s


def allowed_speedup(alone: Figures, together: Figures) -> float | None:
    """Return the speed-up of ranks that lose nothing but what they have to share; None where that is not known.

    Of one rank's decoding the share ``mbu``, of its prefill ``mfu``, is what the
    limits explain. That time grows as the limit shrinks that is left to a rank beside the others; the rest is
    the rank's own and stays. Ranks that share cores share the rest, too, so they have no such figure.
    """
    ranks = Layout.parse(together.layout).world_size
    reading = readers(alone, together)
    if (
        together.oversubscribed
        or reading is None
        or alone.flops_per_s is None
        or together.flops_per_s is None
    ):
        return None
    computing = together.flops_per_s / alone.flops_per_s
    parts = (
        (alone.decode_s, alone.mbu, ranks / reading),
        (alone.prefill_s, alone.mfu, ranks / computing),
    )
    stretched_s = sum(
        seconds * (1 + min(1.0, share or 0.0) * (longer - 1)) for seconds, share, longer in parts
    )
    return ranks * (alone.decode_s + alone.prefill_s) / stretched_s


def balance(size: Dimensions, layout: Layout, itemsize: int, passes: Passes) -> float:
    """Mean ÷ most of what the ranks have to read in decode steps: a pipeline is as slow as its dearest stage."""
    places = [layout.coordinates(rank) for rank in range(layout.world_size)]
    read = [decode_bytes(size, layout, at, itemsize, passes) for at in places]
    return fmean(read) / max(read)


def at_work(case: Figures) -> float | None:
    """Share of the rounds that is neither communication nor waiting; None where that is not known."""
    lost = [share for share in (case.communication, case.bubble, case.imbalance) if share is not None]
    return None if len(lost) < 3 else 1 - sum(lost)


def over_half(case: Figures, twice: Figures) -> float | None:
    """Time at work of two ranks that share a model ÷ half a round of two that have one each.

    ``twice`` has on each rank the batch that the other two have together. So half of its round is the same
    work, beside the same neighbour: what is above 1 is lost to something else than communication.
    """
    share = at_work(case)
    return None if share is None else share * case.round_s / (twice.round_s / 2)
