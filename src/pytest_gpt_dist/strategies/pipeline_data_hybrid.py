"""Short pipelines, replicated."""

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.strategies.factors import smallest_degree


class PipelineDataHybrid:
    """Replicas whose layers are lined up over the fewest devices that divide the count.

    That is two for an even count, three for 3 and 9, and all of them for a prime count.
    """

    name = "pipeline_data_hybrid"

    def layout(self, gpus: int) -> Layout:
        """Return ``pp`` = the smallest divisor of ``gpus`` above 1, and ``dp`` = the rest."""
        pp = smallest_degree(gpus)
        return Layout(dp=gpus // pp, pp=pp)
