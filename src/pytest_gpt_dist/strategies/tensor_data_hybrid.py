"""Small tensor-parallel groups, replicated."""

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.strategies.factors import smallest_degree


class TensorDataHybrid:
    """Replicas whose layers are each cut over the fewest devices that divide the count.

    That is two for an even count, three for 3 and 9, and all of them for a prime count.
    """

    name = "tensor_data_hybrid"

    def layout(self, gpus: int) -> Layout:
        """Return ``tp`` = the smallest divisor of ``gpus`` above 1, and ``dp`` = the rest."""
        tp = smallest_degree(gpus)
        return Layout(dp=gpus // tp, tp=tp)
