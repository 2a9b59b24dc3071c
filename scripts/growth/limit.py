"""What a case would come to if it lost nothing: tokens per second at the measured limits of its machine."""

from __future__ import annotations

from scripts.figures import Figures
from scripts.growth.points import Point

from pytest_gpt_dist.parallel import Coordinates, Dimensions, Layout, Passes, prefill_flops


def decode_flops(size: Dimensions, prompt_tokens: int, new_tokens: int) -> int:
    """Floating-point operations of the decode steps of one request.

    Those by which a prefill up to its last step's token exceeds that of its prompt, and the head, of which a
    prefill has one, for each step.
    """
    longer, prompt = (
        prefill_flops(size, Layout(), Coordinates(), Passes([tokens], 1))
        for tokens in (prompt_tokens + new_tokens - 1, prompt_tokens)
    )
    return longer - prompt + (new_tokens - 1) * 2 * size.vocabulary * size.hidden


def limit_tokens_per_s(size: Dimensions, point: Point, figures: Figures) -> float | None:
    """Tokens per second of a case whose every second went into what binds it; None where no limit is known.

    The prefill takes as long as its operations at the measured rate. Decoding takes as long as what it has to
    read at the measured bandwidth or, with a large batch, as its operations, whichever is longer. Ranks that
    share cores have no limit: that of each was measured in moments in which it had a core for itself.
    """
    if figures.oversubscribed or figures.mfu is None or figures.flops_per_s is None:
        return None
    if figures.decode_s and figures.mbu is None:
        return None
    requests = point.batch_size * point.ranks
    reading_s = figures.decode_s * (figures.mbu or 0.0)
    computing_s = requests * decode_flops(size, point.prompt_tokens, point.new_tokens) / figures.flops_per_s
    prefill_s = figures.prefill_s * figures.mfu
    return figures.generated_tokens / (prefill_s + max(reading_s, computing_s))
