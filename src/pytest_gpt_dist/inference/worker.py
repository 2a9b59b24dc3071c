"""On a rank: one case from loading to its last round."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import PeakMemory, release_memory
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    CommunicatesItself,
    Engine,
    EngineFactory,
    SamplesItself,
    Sampling,
)
from pytest_gpt_dist.inference.engines.samplers import make_sampler
from pytest_gpt_dist.inference.exactness.teacher_forcing import TeacherForcing
from pytest_gpt_dist.inference.exactness.tolerance import Exactness
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.inference.messages import CaseJob, Check, RankReport, RankRound
from pytest_gpt_dist.inference.times import BatchTimes
from pytest_gpt_dist.inference.token_stopwatch import RoundStopwatch
from pytest_gpt_dist.measure.rank_profile import profile_round
from pytest_gpt_dist.measure.rank_rounds import anywhere, largest, run_rounds
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.yardstick import Yardstick
from pytest_gpt_dist.model.attention import attention_kernel
from pytest_gpt_dist.parallel import Traffic, parameter_bytes, traffic
from pytest_gpt_dist.parallel.comm_time import CommTime
from pytest_gpt_dist.registry import load

_log = logging.getLogger(__name__)


def run_case(job: CaseJob) -> RankReport:
    """Load this rank's shard, check it against the reference, and time it; weights are freed at the end."""
    mesh = Mesh(job.layout, this_rank())
    _log.info("case begins: %s at %s", job.engine, job.layout.where(this_rank().rank))
    make_engine: EngineFactory = load(job.engine, what="engine")
    yardstick = Yardstick(mesh.device) if job.timing else None
    peak = PeakMemory(
        mesh.device
    )  # of the case alone: neither of the engine's libraries nor of the yardstick
    with attention_kernel(job.attention):
        engine = make_engine(job.source, mesh, lambda done, total: report_progress("loading", done, total))
        try:
            running = _RunningCase(job, mesh, engine, yardstick)
            report = replace(running.run(), peak_memory_bytes=peak.read())
            if report.problem is None:
                profile_round(running.generation, mesh.device)
            return report
        finally:
            engine.close()
            del engine
            release_memory(mesh.device)


class _RunningCase:
    def __init__(self, job: CaseJob, mesh: Mesh, engine: Engine, yardstick: Yardstick | None) -> None:
        self._job = job
        self._mesh = mesh
        self._engine = engine
        self._yardstick = yardstick
        self._batches = job.batches[mesh.at.dp]
        self._vocabulary = job.source.config.dimensions.vocabulary
        self.generation = _Generation(engine, mesh, self._batches, job.sampling, self._vocabulary)

    def run(self) -> RankReport:
        engine = self._engine
        report = RankReport(self._wrong_share(), engine.parameter_bytes, dict(engine.configuration))
        _log.info("loaded: %s bytes of parameters", report.parameter_bytes)
        _log.debug("batches of requests: %s", [[r.index for r in batch.requests] for batch in self._batches])
        if anywhere(report.problem is not None):
            return report
        if self._job.check is not None:
            report = self._check_exactness(report, self._job.check)
            if report.problem is not None:
                return report
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
        """Return a step's share of what a round communicated.

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
        greedy = make_sampler(Sampling(), self._vocabulary, mesh)
        forcing = TeacherForcing(check.rows, engine.vocabulary, greedy)
        batches = _with_new_tokens(self._batches, check.steps)
        if isinstance(engine, SamplesItself):
            forcing.look_at(engine, batches)
        else:
            engine.generate(batches, forcing, None)
        mine = [request.index for batch in self._batches for request in batch.requests] if mesh.last else []
        skipped = any(forcing.compared[index] != check.steps for index in mine)
        error, differ, unseen = largest(forcing.max_error, not forcing.tokens_equal, skipped)
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
        mesh, engine = self._mesh, self._engine
        done = run_rounds(self.generation, mesh.device, timing, self._yardstick)
        outcomes = [each.outcome for each in done.rounds]
        counted = not (isinstance(engine, CommunicatesItself) and engine.communicates_itself)
        wrong = (self._wrong_traffic(outcome.traffic) for outcome in outcomes if counted)
        return replace(
            report,
            problem=next((problem for problem in wrong if problem is not None), None),
            traffic_per_step=self._per_step(outcomes[0].traffic) if counted else None,
            tokens=outcomes[-1].tokens,
            tokens_vary=any(outcome.tokens != outcomes[0].tokens for outcome in outcomes),
            rounds=tuple(
                RankRound(each.seconds, each.outcome.batches, each.outcome.comm_time if counted else None)
                for each in done.rounds
            )
            if timing
            else (),
            timed_span_s=done.span_s,
            yardstick=done.yardstick,
        )


@dataclass(frozen=True)
class _Outcome:
    """What a round left: when tokens came and which, what was communicated, and the time that took."""

    batches: tuple[BatchTimes, ...]
    tokens: dict[int, tuple[int, ...]]
    traffic: Traffic
    comm_time: CommTime | None


class _Generation:
    """The work of a round: every request of this replica, generated once."""

    def __init__(
        self, engine: Engine, mesh: Mesh, batches: Sequence[Batch], sampling: Sampling, vocabulary: int
    ) -> None:
        self._engine = engine
        self._mesh = mesh
        self._batches = batches
        self._sampling = sampling
        self._vocabulary = vocabulary

    def prepare(self) -> None:
        """Begin with the first draw of the sampling, a new stopwatch, and counters at zero."""
        mesh = self._mesh
        self._sampler = make_sampler(self._sampling, self._vocabulary, mesh)
        self._stopwatch = RoundStopwatch(mesh.device)
        self._before = mesh.traffic
        mesh.read_comm_time()

    def run(self) -> None:
        """Generate."""
        self._tokens = self._engine.generate(self._batches, self._sampler, self._stopwatch)

    def outcome(self) -> _Outcome:
        """Return tokens and their times; the first tensor-parallel rank speaks for all of its replica."""
        mesh = self._mesh
        counted, comm_time = mesh.traffic - self._before, mesh.read_comm_time()
        if mesh.at.tp > 0:
            return _Outcome((), {}, counted, comm_time)
        made = {index: tuple(ids) for index, ids in self._tokens.items()}
        return _Outcome(self._stopwatch.read(), made, counted, comm_time)


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
