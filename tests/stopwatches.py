"""Stopwatches for tests."""

from pytest_gpt_dist.inference.engines.protocol import Batch, Microbatch


class Notes:
    """A stopwatch that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, batch: Batch) -> None:
        self.events.append(f"begin {batch.requests[0].index}")

    def token(self, microbatch: Microbatch) -> None:
        self.events.append(f"token {microbatch.requests[0].index}")
