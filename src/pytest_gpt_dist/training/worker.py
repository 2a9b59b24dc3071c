"""On a rank: one case of training, from filling the model to the last timed step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeVar

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import PeakMemory, release_memory
from pytest_gpt_dist.measure.rank_profile import profile_round
from pytest_gpt_dist.measure.rank_rounds import run_rounds
from pytest_gpt_dist.measure.yardstick import Yardstick
from pytest_gpt_dist.parallel.training_state import StateBytes, StateShapes, expected_state
from pytest_gpt_dist.parallel.training_traffic import ExpectedTraffic, expected_traffic
from pytest_gpt_dist.registry import load
from pytest_gpt_dist.training.exactness.gradient_check import GradientCheck
from pytest_gpt_dist.training.exactness.tolerance import (
    PARAMETER_FLOOR,
    Bounds,
    GradientErrors,
    bounds,
    floor_of,
    gradient_problem,
    loss_error,
    loss_problem,
    norm_problem,
    parameter_problem,
    whole_norm_problem,
)
from pytest_gpt_dist.training.expected_cut_traffic import expected_cut_traffic
from pytest_gpt_dist.training.expected_shares import expected_share
from pytest_gpt_dist.training.loss_scale import LossScaleError
from pytest_gpt_dist.training.messages import TimedStep, TrainingJob, TrainingReport
from pytest_gpt_dist.training.shapes import state_shapes
from pytest_gpt_dist.training.state_bytes import held_state
from pytest_gpt_dist.training.step import StepOutcome, Training
from pytest_gpt_dist.training.step_clock import StepClock
from pytest_gpt_dist.training.step_times import StepTimes
from pytest_gpt_dist.training.strategy import Divider, Division, GathersParameters, Trainee
from pytest_gpt_dist.training.traffic_counter import TrafficCounter

_log = logging.getLogger(__name__)
T = TypeVar("T")


def run_case(job: TrainingJob) -> TrainingReport:
    """Divide the model, check its first steps against one process, count a step, and time further ones."""
    device = torch.device(this_rank().device)
    _log.info("training begins: %s", job.plan)
    divide: Divider = load(job.divider, what="strategy")
    yardstick = Yardstick(device) if job.timing else None
    peak = PeakMemory(device)
    clock = (
        StepClock() if device.type == "cpu" else None
    )  # elsewhere the thread does not wait for what it starts
    division = Division(
        job.work.model,
        job.plan,
        job.work.recipe,
        job.work.dtype,
        device,
        job.work.checkpointing,
        job.work.bucket_mb,
        job.work.tuning,
        clock,
        lambda done, total: report_progress("loading", done, total),
    )
    trainee = divide(division)
    try:
        with nullcontext() if clock is None else clock.watching():
            return _RunningCase(job, trainee, device, peak=peak, yardstick=yardstick, clock=clock).run()
    finally:
        del trainee
        release_memory(device)


class _RunningCase:
    def __init__(
        self,
        job: TrainingJob,
        trainee: Trainee,
        device: torch.device,
        *,
        peak: PeakMemory,
        yardstick: Yardstick | None,
        clock: StepClock | None,
    ) -> None:
        self._job = job
        self._trainee = trainee
        self._device = device
        self._peak = peak
        self._yardstick = yardstick
        self._clock = clock
        self._reference = job.reference
        self._outcomes: list[StepOutcome] = []
        self._parameters: GradientErrors | None = None
        self._training = Training(
            trainee, job.work.samples, job.batches, job.work.recipe, device, clock=clock
        )

    def run(self) -> TrainingReport:
        """Train: a step whose gradients are compared, one that is counted, the timed ones; of the first the losses.

        Nothing is trained for checks alone, unless fewer steps are timed than are checked.
        """
        try:
            report = self._first_step(TrainingReport(None, self._trainee.kind))
            if report.problem is None:
                self._step()
                report = self._counted_step(report)
            if report.problem is None:
                if self._reference is not None and self._reference.parameters_path is not None:
                    self._finish_checked_steps()  # parameters are compared as these leave them
                report = self._timed(report)
                self._finish_checked_steps()
                report = self._compared(report)
        except LossScaleError as error:  # on every rank at once
            return TrainingReport(str(error), self._trainee.kind)
        return replace(report, skipped_steps=self._training.skipped)

    def _first_step(self, report: TrainingReport) -> TrainingReport:
        """Train the step of the untouched weights; its gradients are compared before anything takes them."""
        reference = self._reference
        if reference is None:
            self._step()
            return report
        if not self._is_exact:
            return replace(report, problem=self._wrong_norm(self._step().norm.item(), None))
        check = GradientCheck(reference.path, reference.norms[0], floor_of(self._job.work.dtype))
        try:
            norm = self._step(self._comparison(check)).norm.item()
        except _WrongGradientsError as error:
            return replace(report, problem=str(error))
        errors = check.errors()
        return replace(
            report,
            problem=self._wrong_norm(norm, reference.norms[0]),
            gradient_error=errors.worst[1],
            gradient_total_error=errors.total,
        )

    def _wrong_norm(self, norm: float, expected: float | None) -> str | None:
        """Return whether a norm is another one than expected, or than on other ranks."""
        problem = None if expected is None else whole_norm_problem(norm, expected, self._allowed)
        return _first_problem(problem or norm_problem(_gathered(norm), self._allowed))

    def _finish_checked_steps(self) -> None:
        """Train what is left of the steps whose losses are saved."""
        steps = self._job.work.recipe.steps
        while len(self._outcomes) < steps:
            report_progress("checking", len(self._outcomes) + 1, steps)
            self._step()

    def _compared(self, report: TrainingReport) -> TrainingReport:
        """Compare the losses of the checked steps, and the parameters after them."""
        losses = _world_losses(self._outcomes, self._device)
        norms = tuple(each.norm.item() for each in self._outcomes)
        report = replace(report, losses=losses, norms=norms)
        reference, allowed = self._reference, self._allowed
        if reference is None:
            return report
        expected = reference.losses
        if (
            not self._is_exact
        ):  # compressed gradients leave nothing comparable but the loss before any of them
            problem = loss_problem(losses[:1], expected[:1], allowed)
            gap = (losses[-1] - expected[-1]) / expected[-1]
            return replace(report, problem=_first_problem(problem), loss_gap=gap)
        problem, parameters = loss_problem(losses, expected, allowed), self._parameters
        if parameters is not None:
            problem = problem or parameter_problem(parameters, allowed)
        return replace(
            report,
            problem=_first_problem(problem),
            loss_error=max(map(loss_error, losses, expected)),
            parameter_error=None if parameters is None else parameters.worst[1],
        )

    @property
    def _is_exact(self) -> bool:
        return self._job.work.tuning.compression == "none" or self._job.plan.world_size == 1

    def _parameter_errors(self, path: str, norm: float) -> GradientErrors:
        """Compare the parameters as they are now, put together on the way that gradients are."""
        check = GradientCheck(path, norm, PARAMETER_FLOOR)
        held = self._trainee.parameters()
        for parameter in held:
            parameter.grad = parameter.detach()
        check.compare(self._trainee.gradients())
        for parameter in held:
            parameter.grad = None
        return check.errors()

    def _comparison(self, check: GradientCheck) -> Callable[[], None]:
        """Return what compares this rank's gradients, and ends the case on all ranks where those of any are wrong."""

        def compare() -> None:
            check.compare(self._trainee.gradients())
            errors = check.errors()
            seen = {name for names in _gathered(list(errors.by_tensor)) for name in names}
            expected = [name for name in check.names if name in errors.by_tensor or name not in seen]
            problem = _first_problem(gradient_problem(errors, expected, self._allowed))
            if problem is not None:
                raise _WrongGradientsError(problem)

        return compare

    @property
    def _allowed(self) -> Bounds:
        reference = self._job.reference
        own = None
        if (
            reference is not None
            and reference.gradient_error is not None
            and reference.loss_error is not None
        ):
            own = Bounds(reference.gradient_error, reference.loss_error, 0.0, 1e-6)
        return bounds(self._job.work.dtype, own)

    def _counted_step(self, report: TrainingReport) -> TrainingReport:
        """Train a step whose collectives are counted, and weigh what the rank holds in it."""
        held: list[StateBytes] = []
        trainee = self._trainee
        asked = trainee.gathered_bytes if isinstance(trainee, GathersParameters) else None
        while True:  # what overflows is begun anew, and sends everything once more
            skipped = self._training.skipped
            counter = TrafficCounter(asked)
            self._step(lambda: held.append(held_state(self._trainee)), counter)
            if self._training.skipped == skipped:
                break
            held.clear()
        gathered = held[0].parameters if asked is None else counter.most_gathered
        report = replace(report, held=held[0], gathered=gathered, traffic=counter.traffic)
        share, due = self._expected_state, self._expected_traffic
        unproven = [what for what, known in (("state", share), ("traffic", due)) if known is None]
        problem = self._wrong_state(held[0], share)
        wrong = None if due is None else due.problem(counter.traffic)
        if problem is None and wrong is not None:
            problem = f"rank {this_rank().rank} communicated {wrong}"
        return replace(report, unproven=tuple(unproven), problem=_first_problem(problem))

    @property
    def _expected_state(self) -> StateBytes | None:
        rank, plan = this_rank().rank, self._job.plan
        return expected_state(self._shapes, plan, rank) or expected_share(
            self._job.work.model.config, self._shapes, plan, rank
        )

    @property
    def _expected_traffic(self) -> ExpectedTraffic | None:
        work, plan, batches = self._job.work, self._job.plan, self._job.batches
        if not self._is_exact:
            return None
        return expected_traffic(self._shapes, plan, batches.accumulation) or expected_cut_traffic(
            work, plan, batches, this_rank().rank
        )

    def _wrong_state(self, held: StateBytes, share: StateBytes | None) -> str | None:
        """Return whether the rank holds other than its share of the state."""
        rank, work = this_rank().rank, self._job.work
        if share is None or share == held:
            return None
        kind = next(
            kind
            for kind in ("parameters", "gradients", "optimizer")
            if getattr(held, kind) != getattr(share, kind)
        )
        return (
            f"rank {rank} holds {getattr(held, kind):,} bytes of {kind}, its share under {self._job.plan} is"
            f" {getattr(share, kind):,} ({work.dtype})"
        )

    @property
    def _shapes(self) -> StateShapes:
        work = self._job.work
        return state_shapes(work.model.config, work.dtype, work.recipe, work.tuning)

    def _step(
        self, observe: Callable[[], None] | None = None, counter: TrafficCounter | None = None
    ) -> StepOutcome:
        self._training.load()
        with nullcontext() if counter is None else counter:
            outcome = self._training.step(observe)
        self._note(outcome)
        return outcome

    def _note(self, outcome: StepOutcome) -> None:
        """Keep what a checked step came to, and after the last one how far the parameters are off."""
        steps, reference = self._job.work.recipe.steps, self._reference
        if len(self._outcomes) == steps:
            return
        self._outcomes.append(outcome)
        if len(self._outcomes) == steps and reference is not None and reference.parameters_path is not None:
            self._parameters = self._parameter_errors(reference.parameters_path, reference.parameters_norm)

    def _timed(self, report: TrainingReport) -> TrainingReport:
        self._peak.restart()
        work = _StepWork(self._training, self._clock, self._note)
        done = run_rounds(work, self._device, self._job.timing, self._yardstick)
        rounds = [
            TimedStep(each.seconds, step.labels, times)
            for each in done.rounds
            for step, times in [each.outcome]
        ]
        norms = [each.outcome[0].norm for each in done.rounds]
        _log.info("norms of the timed steps: %s", norms)
        report = replace(
            report,
            rounds=tuple(rounds) if self._job.timing else (),
            timed_span_s=done.span_s,
            yardstick=done.yardstick,
            peak_memory_bytes=self._peak.read(),
        )
        profile_round(work, self._device)
        return report


class _WrongGradientsError(Exception):
    """Gradients that are not those of one process; raised on every rank at once."""


class _StepWork:
    """The work of a round: a step on rows that were loaded before it."""

    def __init__(
        self, training: Training, clock: StepClock | None, note: Callable[[StepOutcome], None]
    ) -> None:
        self._training = training
        self._clock = clock
        self._note = note

    def prepare(self) -> None:
        """Make the microbatches."""
        if self._clock is not None:
            self._clock.read()
        self._training.load()

    def run(self) -> None:
        """Train a step."""
        if self._clock is not None:
            self._clock.restart()
        self._outcome = self._training.step()

    def outcome(self) -> tuple[StepOutcome, StepTimes | None]:
        """Return what the step came to, and where its time went."""
        times = None if self._clock is None else self._clock.read()
        self._note(self._outcome)
        return self._outcome, times


def _world_losses(outcomes: list[StepOutcome], device: torch.device) -> tuple[float, ...]:
    """Return the losses of steps: the sum of all ranks' parts."""
    parts = torch.stack([each.loss_part.double() for each in outcomes]).to(device)
    dist.all_reduce(parts)
    return tuple(parts.tolist())


def _first_problem(here: str | None) -> str | None:
    """Return this rank's problem, else that of the first rank that has one: all ranks go on, or none."""
    found = [problem for problem in _gathered(here) if problem is not None]
    return here or next(iter(found), None)


def _gathered(value: T) -> list[T]:
    everywhere: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(everywhere, value)
    return everywhere
