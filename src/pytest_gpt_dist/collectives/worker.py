"""On a rank: one case of collectives, checked, then timed in rounds of as many operations as can be timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from statistics import median

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.collectives.bandwidth import overlap
from pytest_gpt_dist.collectives.messages import CollectiveJob, CollectiveReport, OperationRound
from pytest_gpt_dist.collectives.operations import Operation, make_operation, wait_for
from pytest_gpt_dist.host.device import PeakMemory, release_memory, synchronize
from pytest_gpt_dist.measure.rank_rounds import largest, run_rounds
from pytest_gpt_dist.measure.yardstick import Yardstick

_ROUND_S = 0.02
"""At least as long as a round is to take: a clock's and a scheduler's grain is small beside it."""
_MOST_OPERATIONS = 1000
_MATRIX = 256
_OVERLAPS = 5


def run_case(job: CollectiveJob) -> CollectiveReport:
    """Check a collective's result on every rank, and time it."""
    device = torch.device(this_rank().device)
    yardstick = Yardstick(device) if job.timing else None
    peak = PeakMemory(device)
    report_progress("filling")
    operation = make_operation(job.collective, getattr(torch, job.dtype), device)
    try:
        report_progress("checking")
        problem = _problem(operation, job, device)
        if problem is not None or job.timing is None:
            return CollectiveReport(problem, peak_memory_bytes=peak.read())
        operations = _enough(operation, device)
        done = run_rounds(_Repeated(operation, operations), device, job.timing, yardstick)
        report_progress("overlapping")
        hidden = _overlap(operation, device)
        return CollectiveReport(
            None,
            operations,
            tuple(OperationRound(each.seconds / operations) for each in done.rounds),
            hidden,
            done.span_s,
            done.yardstick,
            peak.read(),
        )
    finally:
        del operation
        release_memory(device)


class _Repeated:
    """The work of a round: the operation, so and so many times."""

    def __init__(self, operation: Operation, times: int) -> None:
        self._operation = operation
        self._times = times

    def prepare(self) -> None:
        """Fill the buffers anew: sums of sums would overflow."""
        self._operation.fill()

    def run(self) -> None:
        """Do the operations one after the other."""
        for _ in range(self._times):
            self._operation.run()

    def outcome(self) -> None:
        """Return nothing: the result was checked before."""


def _problem(operation: Operation, job: CollectiveJob, device: torch.device) -> str | None:
    """Return what is wrong with a result, in whichever way it is asked for; the first rank's that has one."""
    here: str | None = None
    for way in (operation.run, operation.run_asynchronously):
        operation.fill()
        way()
        synchronize(device)
        wrong = int((operation.result != operation.expected).sum())
        if wrong and here is None:
            here = f"rank {this_rank().rank} got {wrong:,} wrong elements of {operation.result.numel():,}"
    found: list[str | None] = [None] * job.collective.ranks
    dist.all_gather_object(found, here)
    return next((each for each in found if each is not None), None)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long it takes the slowest rank."""
    synchronize(device)
    largest(0.0)
    start_s = time.perf_counter()
    work()
    synchronize(device)
    return largest(time.perf_counter() - start_s)[0]


def _enough(operation: Operation, device: torch.device) -> int:
    """Return how many operations a round is to have; the same number on every rank."""
    operation.fill()
    once_s = min(_seconds(operation.run, device) for _ in range(3))
    return max(1, min(_MOST_OPERATIONS, ceil(_ROUND_S / once_s)))


def _overlap(operation: Operation, device: torch.device) -> float:
    """Return the share that is hidden of an operation and of products that take about as long."""
    left, right, out = torch.ones((3, _MATRIX, _MATRIX), device=device).unbind()
    once_s = min(_seconds(lambda: torch.mm(left, right, out=out), device) for _ in range(3))
    operation.fill()
    apart_s = min(_seconds(operation.run, device) for _ in range(3))
    products = max(1, min(_MOST_OPERATIONS, round(apart_s / once_s)))

    def compute() -> None:
        for _ in range(products):
            torch.mm(left, right, out=out)

    def both() -> None:
        begun = operation.start(False)
        compute()
        wait_for(begun)

    shares = []
    for _ in range(_OVERLAPS):
        operation.fill()
        shares.append(
            overlap(_seconds(operation.run, device), _seconds(compute, device), _seconds(both, device))
        )
    return median(shares)
