"""A rank's place in a layout and its ways to communicate with the ranks around it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import RankInfo
from pytest_gpt_dist.parallel import Layout, Traffic
from pytest_gpt_dist.parallel.comm_time import CommTime, CommunicationClock
from pytest_gpt_dist.parallel.process_groups import make_subgroups

# torch 2.13 renamed it, and warns of the old name.
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)


@dataclass(slots=True)
class PendingRecv:
    """A receive that may still be under way; those of one sender are taken in the order of the sends.

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


class Mesh:
    """Communication within a layout, counted by kind.

    Hidden states go down a pipeline and tokens back up on communicators of their own: on a single one NCCL
    would run both directions in one queue, where two stages that both send first wait for each other for
    ever.

    Every rank of the group makes a mesh of the same layout. Waiting ends at the latest with the timeout of
    the process group. Tensors are on ``device``; with ``info.staged`` they travel through host memory.

    Attributes:
        layout: degrees of the world.
        at: this rank's coordinates.
        device: where this rank's tensors are.
        staged: whether they travel through host memory.

    Raises:
        ValueError: when the layout is of another world size.
    """

    def __init__(self, layout: Layout, info: RankInfo) -> None:
        if layout.world_size != info.world_size:
            raise ValueError(f"{layout} has {layout.world_size} ranks, this group has {info.world_size}")
        self.layout = layout
        self.at = layout.coordinates(info.rank)
        self.device = torch.device(info.device)
        self.staged = info.staged
        self._tensor = make_subgroups(layout.tensor_groups, "tensor")
        self._hidden = make_subgroups(layout.pipelines, "hidden")
        self._tokens = make_subgroups(layout.pipelines, "tokens")
        lane = [layout.rank(type(self.at)(self.at.dp, stage, self.at.tp)) for stage in range(layout.pp)]
        self._first, self._last = lane[0], lane[-1]
        self._previous, self._next = lane[self.at.pp - 1], lane[(self.at.pp + 1) % layout.pp]
        self._outbox: deque[tuple[dist.Work, torch.Tensor]] = deque()
        self._all_reduce = self._all_gather = self._send = self._recv = 0
        self._clock = CommunicationClock()
        if self.device.type == "cuda" and not self.staged:
            self._connect()

    @property
    def first(self) -> bool:
        """Whether this rank is on the first stage."""
        return self.at.pp == 0

    @property
    def last(self) -> bool:
        """Whether this rank is on the last stage."""
        return self.at.pp == self.layout.pp - 1

    @property
    def traffic(self) -> Traffic:
        """What this rank has communicated since the mesh was made."""
        return Traffic(self._all_reduce, self._all_gather, self._send, self._recv)

    def read_comm_time(self) -> CommTime | None:
        """Return this rank's communication time since it was last asked.

        None on a GPU: the host only starts there what the device does later.
        """
        comm_time = self._clock.read()
        return comm_time if self.device.type == "cpu" else None

    def count(self, traffic: Traffic) -> None:
        """Count communication that did not go through these methods: what a recorded graph did on the device."""
        self._all_reduce += traffic.all_reduce
        self._all_gather += traffic.all_gather
        self._send += traffic.send
        self._recv += traffic.recv

    def _connect(self) -> None:
        """Make NCCL's communicators now, one after the other.

        Left alone it makes each at its first use, which may wait for the device while a send of another one
        waits there for a stage that is itself still making this one.
        """
        probe = torch.zeros(1, device=self.device)
        if self._tensor is not None:
            dist.all_reduce(probe, group=self._tensor)
            torch.cuda.synchronize(self.device)
        if self.layout.pp == 1:
            return
        if not self.first:
            _done(dist.irecv(probe, self._previous, group=self._hidden))
        if not self.last:
            _done(dist.isend(probe, self._next, group=self._hidden))
        torch.cuda.synchronize(self.device)
        if self.last:
            _done(dist.isend(probe, self._first, group=self._tokens))
        if self.first:
            _done(dist.irecv(probe, self._last, group=self._tokens))
        torch.cuda.synchronize(self.device)

    def all_reduce(self, x: torch.Tensor) -> None:
        """Replace ``x`` by its sum over the tensor-parallel ranks, in place."""
        if self._tensor is None:
            return
        self._all_reduce += 1
        with self._clock.collective():
            if not self.staged:
                dist.all_reduce(x, group=self._tensor)
                return
            host = x.cpu()
            dist.all_reduce(host, group=self._tensor)
            x.copy_(host)

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` of every tensor-parallel rank, ``[tp, *x.shape]``; shapes are equal, not of scalars."""
        if self._tensor is None:
            return x.unsqueeze(0)
        self._all_gather += 1
        with self._clock.collective():
            own = (x.cpu() if self.staged else x).contiguous()
            gathered = own.new_empty((self.layout.tp * own.shape[0], *own.shape[1:]))
            _all_gather(gathered, own, group=self._tensor)
            return gathered.view(self.layout.tp, *own.shape).to(x.device)

    def send_next(self, x: torch.Tensor) -> None:
        """Send hidden states to the next stage of this lane; ``x`` must not change before it is settled."""
        self._post(x, self._next, self._hidden)

    def expect_previous(self, shape: Sequence[int], dtype: torch.dtype) -> PendingRecv:
        """Be ready for the next hidden states from the previous stage of this lane."""
        return self._expect(shape, dtype, self._previous, self._hidden)

    def send_tokens(self, tokens: torch.Tensor) -> None:
        """Send chosen tokens from the last stage to the first; they must not change before settled."""
        self._post(tokens, self._first, self._tokens)

    def expect_tokens(self, shape: Sequence[int]) -> PendingRecv:
        """Be ready for the next tokens, int64, that the last stage chooses."""
        return self._expect(shape, torch.int64, self._last, self._tokens)

    def settle(self, keep: int = 0) -> None:
        """Wait until at most ``keep`` sends are under way, oldest first, and free the others' buffers."""
        if len(self._outbox) <= keep:
            return
        with self._clock.hop():
            while len(self._outbox) > keep:
                work, _ = self._outbox[0]
                work.wait()
                self._outbox.popleft()

    def _post(self, x: torch.Tensor, to: int, group: dist.ProcessGroup | None) -> None:
        self._send += 1
        with self._clock.hop():
            buffer = (x.cpu() if self.staged else x).contiguous()
            work = dist.isend(buffer, to, group=group)
        if work is not None:
            self._outbox.append((work, buffer))

    def _expect(
        self, shape: Sequence[int], dtype: torch.dtype, source: int, group: dist.ProcessGroup | None
    ) -> PendingRecv:
        self._recv += 1
        buffer = torch.empty(tuple(shape), dtype=dtype, device="cpu" if self.staged else self.device)
        pending = PendingRecv(buffer, source, group, self.device, self._clock)
        if buffer.device.type == "cpu":
            pending.post()
        return pending


def _done(work: dist.Work | None) -> None:
    if work is not None:
        work.wait()
