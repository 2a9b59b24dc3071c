"""Every device holds the whole model."""

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.strategies.factors import divisors


class PureDataParallel:
    """One replica a device; no communication while generating."""

    name = "pure_data_parallel"

    def layout(self, gpus: int) -> Layout:
        """Return ``dp = gpus``."""
        return Layout(dp=divisors(gpus)[-1])
