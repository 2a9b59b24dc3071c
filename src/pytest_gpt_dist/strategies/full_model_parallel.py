"""One model over all devices."""

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.strategies.factors import divisors


class FullModelParallel:
    """A single replica, its devices arranged as nearly square as they go, tensor parallelism the larger side.

    4 devices are ``pp2·tp2``, 8 are ``pp2·tp4``, 16 are ``pp4·tp4``; a prime count is tensor parallel alone.
    """

    name = "full_model_parallel"

    def layout(self, gpus: int) -> Layout:
        """Return ``tp`` = the smallest divisor whose square is at least ``gpus``, and ``pp`` = the rest."""
        tp = next(divisor for divisor in divisors(gpus) if divisor * divisor >= gpus)
        return Layout(pp=gpus // tp, tp=tp)
