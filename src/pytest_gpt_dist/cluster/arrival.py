"""A tensor on its way from another rank."""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from pytest_gpt_dist.parallel.comm_time import CommunicationClock


@dataclass(slots=True)
class Arrival:
    """A tensor that another rank sends or will send; those of one sender are taken in the order of the sends.

    Gloo hands over when both sides are ready: a receive that waits for its send is served by the thread that
    sends, one that comes late costs a message to the sender and back, in whose core's time something else runs.
    NCCL's would keep part of a device waiting, so it is posted when it is wanted; the host is far ahead there.

    Attributes:
        buffer: where it will be.
        source: who sends it.
        group: on which communicator.
        device: where it is wanted.
        clock: notes how long it is waited for.
    """

    buffer: torch.Tensor
    source: int
    group: dist.ProcessGroup | None
    device: torch.device
    clock: CommunicationClock
    _work: dist.Work | None = None

    def post(self) -> None:
        """Tell the backend that the buffer is ready."""
        self._work = dist.irecv(self.buffer, self.source, group=self.group)

    def take(self) -> torch.Tensor:
        """Wait for the tensor, at the longest for the timeout of the process group, and return it."""
        with self.clock.hop():
            if self._work is None:
                self.post()
            if self._work is not None:
                self._work.wait()
            return self.buffer.to(self.device)
