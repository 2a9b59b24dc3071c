"""On a rank: one case from loading to its last round."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import PeakMemory, release_memory, synchronize
from pytest_gpt_dist.inference.engines.choosers import make_chooser
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    ChoosesItself,
    CommunicatesItself,
    Engine,
    EngineFactory,
    Sampling,
)
from pytest_gpt_dist.inference.exactness.teacher_forcing import Forced
from pytest_gpt_dist.inference.exactness.tolerance import Exactness
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.inference.messages import CaseJob, Check, RankReport, RankRound
from pytest_gpt_dist.inference.times import BatchTimes
from pytest_gpt_dist.inference.token_stopwatch import RoundStopwatch
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.statistics import enough_rounds
from pytest_gpt_dist.model.attention import attention_kernel
from pytest_gpt_dist.parallel import Traffic, parameter_bytes, traffic
from pytest_gpt_dist.parallel.comm_time import Spent
from pytest_gpt_dist.registry import load

_log = logging.getLogger(__name__)


def run_case(job: CaseJob) -> RankReport:
    """Load this rank's shard, check it against the reference, and time it; weights are freed at the end."""
    mesh = Mesh(job.layout, this_rank())
    _log.info("case begins: %s at %s", job.engine, job.layout.where(this_rank().rank))
    peak = PeakMemory(mesh.device)
    make_engine: EngineFactory = load(job.engine, what="engine")
    with attention_kernel(job.attention):
        engine = make_engine(job.source, mesh, lambda done, total: report_progress("loading", done, total))
        try:
            report = _RunningCase(job, mesh, engine).run()
            return replace(report, peak_memory_bytes=peak.read())
        finally:
            engine.close()
            del engine
            release_memory(mesh.device)


class _RunningCase:
    def __init__(self, job: CaseJob, mesh: Mesh, engine: Engine) -> None:
        self._job = job
        self._mesh = mesh
        self._engine = engine
        self._batches = job.batches[mesh.at.dp]
        self._vocabulary = job.source.config.dimensions.vocabulary

    def run(self) -> RankReport:
        engine = self._engine
        report = RankReport(self._wrong_share(), engine.parameter_bytes, dict(engine.configuration))
        _log.info("loaded: %s bytes of parameters", report.parameter_bytes)
        _log.debug("batches of requests: %s", [[r.index for r in batch.requests] for batch in self._batches])
        if _anywhere(report.problem is not None):
            return report
        if self._job.check is not None:
            report = self._check_exactness(report, self._job.check)
            if report.problem is not None:
                return report
        with _without_collection():
            return self._generate(report, self._job.timing)

    def _wrong_share(self) -> str | None:
        """Whether this rank holds other than its share of the model: the layout's formula must agree."""
        job, at = self._job, self._mesh.at
        itemsize = getattr(torch, job.source.dtype).itemsize
        share = parameter_bytes(job.source.config.dimensions, job.layout, at, itemsize)
        held = self._engine.parameter_bytes
        if held == share:
            return None
        if held is None:
            divided = job.layout.pp * job.layout.tp > 1
            return (
                f"{self._who()} cannot tell whether it holds its share of the model alone"
                if divided
                else None
            )
        return f"{self._who()} holds {held:,} bytes of parameters, its share is {share:,}: the model was not split"

    def _wrong_traffic(self, counted: Traffic) -> str | None:
        """Whether a round communicated other than the layout says."""
        job, at = self._job, self._mesh.at
        passes = sum(batch.passes for batch in self._batches)
        choices = sum(batch.choices for batch in self._batches)
        expected = traffic(job.source.config.dimensions, job.layout, at, passes, choices)
        if counted == expected:
            return None
        return f"{self._who()} communicated {counted} in a round, its layout says {expected}"

    def _per_step(self, counted: Traffic) -> Traffic:
        """A step's share of what a round communicated.

        Prompts that go through at once communicate as a decode step does; what further parts of them cost is none
        of a step's.
        """
        job, at, batches = self._job, self._mesh.at, self._batches
        further = sum(batch.passes - batch.choices for batch in batches)
        alike = counted - traffic(job.source.config.dimensions, job.layout, at, further, choices=0)
        steps = sum(batch.steps for batch in batches) or 1
        return Traffic(
            alike.all_reduce // steps, alike.all_gather // steps, alike.send // steps, alike.recv // steps
        )

    def _who(self) -> str:
        rank = this_rank().rank
        return f"rank {rank} ({self._job.layout.where(rank)})"

    def _check_exactness(self, report: RankReport, check: Check) -> RankReport:
        report_progress("checking")
        mesh, engine = self._mesh, self._engine
        greedy = make_chooser(Sampling(), self._vocabulary, mesh)
        forced = Forced(check.rows, engine.vocabulary, greedy)
        batches = _with_new_tokens(self._batches, check.steps)
        if isinstance(engine, ChoosesItself):
            forced.look_at(engine, batches)
        else:
            engine.generate(batches, forced, None)
        mine = [request.index for batch in self._batches for request in batch.requests] if mesh.last else []
        skipped = any(forced.compared[index] != check.steps for index in mine)
        error, differ, unseen = _largest(forced.max_error, not forced.tokens_equal, skipped)
        if unseen:
            return replace(
                report, problem="the engine did not let its logits be compared with the reference's"
            )
        _log.info("checked: largest logit error %.1e", error)
        found = Exactness(self._job.source.dtype, error, not differ, check.own_error)
        return replace(
            report,
            problem=None if found.matches_reference else found.describe(),
            max_logit_error=error,
        )

    def _generate(self, report: RankReport, timing: Timing | None) -> RankReport:
        warmup = timing.warmup if timing else 0
        for number in range(1, warmup + 1):
            report_progress("warm-up", number, warmup)
            warm = self._round()
            _log.info("warm-up %d: %.6f s", number, warm.seconds)
        rounds: list[_Round] = []
        slowest_s: list[float] = []
        started_s = time.monotonic()
        elapsed_s = 0.0
        while not slowest_s or (timing and not enough_rounds(slowest_s, elapsed_s, timing)):
            report_progress("round", len(rounds) + 1, timing.rounds or 0 if timing else 1)
            rounds.append(self._round())
            _log.info("round %d: %.6f s", len(rounds), rounds[-1].seconds)
            round_s, elapsed_s = _largest(rounds[-1].seconds, time.monotonic() - started_s)
            slowest_s.append(round_s)
        engine = self._engine
        counted = not (isinstance(engine, CommunicatesItself) and engine.communicates_itself)
        wrong = (self._wrong_traffic(each.traffic) for each in rounds if counted)
        return replace(
            report,
            problem=next((problem for problem in wrong if problem is not None), None),
            traffic_per_step=self._per_step(rounds[0].traffic) if counted else None,
            tokens=rounds[-1].tokens,
            tokens_vary=any(each.tokens != rounds[0].tokens for each in rounds),
            rounds=tuple(
                RankRound(each.seconds, each.batches, each.spent if counted else None) for each in rounds
            )
            if timing
            else (),
            timed_span_s=(started_s, time.monotonic()),
        )

    def _round(self) -> _Round:
        mesh, engine = self._mesh, self._engine
        chooser = make_chooser(self._job.sampling, self._vocabulary, mesh)
        stopwatch = RoundStopwatch(mesh.device)
        before = mesh.traffic
        mesh.spent()
        gc.collect()
        synchronize(mesh.device)
        _largest(0.0)  # every rank starts when the last one is ready
        start_s = time.perf_counter()
        tokens = engine.generate(self._batches, chooser, stopwatch)
        synchronize(mesh.device)
        seconds = time.perf_counter() - start_s
        counted, spent = mesh.traffic - before, mesh.spent()
        if mesh.at.tp > 0:  # the first tensor-parallel rank speaks for all
            return _Round(seconds, (), {}, counted, spent)
        made = {index: tuple(ids) for index, ids in tokens.items()}
        return _Round(seconds, stopwatch.read(), made, counted, spent)


@dataclass(frozen=True)
class _Round:
    seconds: float
    batches: tuple[BatchTimes, ...]
    tokens: dict[int, tuple[int, ...]]
    traffic: Traffic
    spent: Spent | None


def _with_new_tokens(batches: Sequence[Batch], new_tokens: int) -> tuple[Batch, ...]:
    return tuple(
        Batch(
            tuple(
                replace(
                    micro, requests=tuple(replace(each, new_tokens=new_tokens) for each in micro.requests)
                )
                for micro in batch.microbatches
            )
        )
        for batch in batches
    )


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage collection inside rounds; between them only what is new is looked at, which takes no time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _largest(*values: float) -> list[float]:
    """Of each value the largest of all ranks."""
    shared = torch.tensor([float(value) for value in values], dtype=torch.float64)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    found: list[float] = shared.tolist()
    return found


def _anywhere(here: bool) -> bool:
    return _largest(float(here)) != [0.0]
