"""Runs cases: reference, check, rounds, figures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_gpt_dist.cluster import OWN, Progress, RankGroup, RankGroupError, Side
from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.inference.batching import prompts_in_parts
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.entry_points import measure_limits, run_case
from pytest_gpt_dist.inference.exactness.reference_cache import (
    Reference,
    References,
    WrongResultError,
)
from pytest_gpt_dist.inference.exactness.tolerance import EXACT_TOKENS
from pytest_gpt_dist.inference.messages import CaseJob, RankReport
from pytest_gpt_dist.inference.times import Round
from pytest_gpt_dist.inference.weight_cache_policy import Keeping
from pytest_gpt_dist.measure.result import Launch, Result, make_result
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.time_lost import losses
from pytest_gpt_dist.telemetry.disturbances import disturbing
from pytest_gpt_dist.telemetry.sampler import Sampler
from pytest_gpt_dist.telemetry.source import MachineSource


class Groups(Protocol):
    """Hands out the live group of a world size."""

    def group(self, world_size: int) -> RankGroup:
        """A group of that many ranks, started if there is none."""
        ...

    def renew(self, side: Side = OWN) -> None:
        """End every group and its server; the next one has new processes, of that side, from a new server."""
        ...


_log = logging.getLogger(__name__)
_FAILURES = (UsageError, WrongResultError, RankGroupError)
Outcome = Result | UsageError | WrongResultError | RankGroupError
"""What a case came to: its figures, or why there are none."""


@dataclass(frozen=True)
class Watching:
    """How timed launches are watched: what is worth an alert, and whether every reading is saved.

    Without ``sampled`` nobody looks, which is for measuring what the looks cost.
    """

    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    keep_series: bool = False
    sampled: bool = True


_WATCHING = Watching()


@dataclass(frozen=True)
class Checked:
    """What a case is checked against: None where no device holds the model; ``compared`` with transformers."""

    reference: Reference | None
    compared: bool


class CaseRunner:
    """Runs cases on rank groups and remembers, for a session, references and one-device throughputs.

    ``scratch`` gives the folder for what can be made again; ``cases`` is how many there will be, as far as is known;
    ``paired``, whether on two sides.
    """

    def __init__(
        self,
        groups: Groups,
        machine: Machine,
        scratch: Callable[[], Path],
        watching: Watching = _WATCHING,
        *,
        cases: int = 1,
        paired: bool = False,
    ) -> None:
        self._groups = groups
        self._machine = machine
        self._watching = watching
        self._keeping = Keeping(scratch, machine.device, cases=cases, paired=paired)
        self._references = References(scratch, self._keeping)
        self._alone: dict[tuple[str, object], _Alone] = {}
        self._limits: dict[tuple[int, str], tuple[DeviceLimits, ...]] = {}

    def run(
        self, case: Case, timing: Timing | None, one_device: Callable[[], Case], status: Callable[[str], None]
    ) -> Result:
        """Check a case and, unless ``timing`` is None, time it.

        ``one_device`` gives the same engine's one-device case, which is measured if this session has not
        done so. Raises WrongResultError where the case may have no numbers, RankGroupError where ranks failed.
        """
        return self.scaled(case, self._measure(case, timing, status), timing, one_device, status)

    def run_block(
        self,
        cases: Sequence[Case],
        timing: Timing,
        one_device: Callable[[Case], Case],
        status: Callable[[str], None],
    ) -> list[Outcome]:
        """Run cases that differ in their engine, launch by launch in turns; what each came to, in their order.

        Each launch begins with the next one of them, so that none is always first.
        """
        launches: list[list[Launch]] = [[] for _ in cases]
        outcomes: list[Outcome | None] = [None] * len(cases)
        checked: list[Checked | None] = [None] * len(cases)
        for place, case in enumerate(cases):  # before any launch, which begins with new processes
            try:
                checked[place] = self.reference(case, status)
            except _FAILURES as error:
                outcomes[place] = error
        for number in range(timing.launches):
            for turn in range(len(cases)):
                place = (number + turn) % len(cases)
                case, against = cases[place], checked[place]
                if outcomes[place] is not None or against is None:
                    continue
                tell = _prefixed(f"{case.engine}: ", status) if len(cases) > 1 else status
                try:
                    launches[place].append(self._next_launch(case, timing, against, number, tell))
                except _FAILURES as error:
                    outcomes[place] = error
        for place, (case, against) in enumerate(zip(cases, checked, strict=True)):
            if outcomes[place] is None and against is not None:
                outcomes[place] = self._concluded(
                    case, timing, against, launches[place], one_device=one_device, status=status
                )
        return [outcome for outcome in outcomes if outcome is not None]

    def _concluded(
        self,
        case: Case,
        timing: Timing,
        checked: Checked,
        launches: Sequence[Launch],
        *,
        one_device: Callable[[Case], Case],
        status: Callable[[str], None],
    ) -> Outcome:
        try:
            status("measuring the limits")
            result = self.result(case, timing, checked, launches)
            return self.scaled(case, result, timing, lambda: one_device(case), status)
        except _FAILURES as error:
            return error

    def scaled(
        self,
        case: Case,
        result: Result,
        timing: Timing | None,
        one_device: Callable[[], Case],
        status: Callable[[str], None],
    ) -> Result:
        """The result with its speed-up over the one-device case, which is measured if that is not known."""
        if result.tokens_per_s is None:
            return result
        self.remember(case, result)
        key = (case.engine, case.workload)
        if key not in self._alone:
            # What is finished must not be lost with its partner: one device may be too small for the model.
            try:
                alone = self._measure(one_device(), timing, _prefixed("one device alone: ", status))
                self._alone[key] = _Alone.of(alone, "measured on demand")
            except _FAILURES as error:
                self._alone[key] = _Alone(None, first_line(error))
        partner = self._alone[key]
        if partner.tokens_per_s is None:
            return result.marked(f"no speed-up: on one device, {partner.origin}")
        result = result.scaled(partner.tokens_per_s, partner.origin)
        if partner.disturbances and case.gpus > 1:
            return result.marked(f"speed-up refers to a disturbed run: {', '.join(partner.disturbances)}")
        return result

    def remember(self, case: Case, result: Result) -> None:
        """Take a one-device result as what other cases of its engine and workload are compared with."""
        if case.gpus == 1 and result.tokens_per_s is not None:
            self._alone[case.engine, case.workload] = _Alone.of(result, "case of this session")

    def _measure(self, case: Case, timing: Timing | None, status: Callable[[str], None]) -> Result:
        checked = self.reference(case, status)
        count = timing.launches if timing else 1
        launches = [self._next_launch(case, timing, checked, number, status) for number in range(count)]
        return self.result(case, timing, checked, launches)

    def _next_launch(
        self, case: Case, timing: Timing | None, checked: Checked, number: int, status: Callable[[str], None]
    ) -> Launch:
        """Launch ``number`` of a case, from 0; of several launches each has new processes."""
        if timing is not None and timing.launches > 1:
            self._groups.renew()
            told = f"launch {number + 1} of {timing.launches}"
            _log.info("%s", told)
            status = _prefixed(f"{told}: ", status)
        return self.launch(case, timing, checked, status)

    def reference(self, case: Case, status: Callable[[str], None]) -> Checked:
        """What the case is to be checked against, computed once a session on one rank."""
        status("starting ranks")
        reference = self._references.get(
            case.source, case.requests, lambda: self._groups.group(1), _shown(status)
        )
        compared = reference is None or self._references.compare_with_transformers(
            case.source, reference, case.requests[0], lambda: self._groups.group(1), _shown(status)
        )
        return Checked(reference, compared)

    def result(
        self, case: Case, timing: Timing | None, checked: Checked, launches: Sequence[Launch]
    ) -> Result:
        """What the launches came to."""
        result = make_result(
            case,
            self._machine,
            launches,
            checked=checked.reference is not None,
            warmup=timing.warmup if timing else 0,
            limits=self._limits_of(case) if timing else (),
            keep_series=self._watching.keep_series,
        )
        if checked.compared:
            return result
        return result.marked("reference not compared with transformers: no memory")

    def _limits_of(self, case: Case) -> tuple[DeviceLimits, ...]:
        """What as many ranks can do at once, measured once a session; () where that was impossible.

        Of ranks that share cores each is as fast as it happens to be scheduled, so that there is no limit.
        """
        if self._machine.oversubscribed(case.gpus):
            return ()
        key = (case.gpus, case.workload.dtype)
        if key not in self._limits:
            try:
                self._limits[key] = tuple(self._groups.group(case.gpus).run(measure_limits, key[1]))
            except RankGroupError:  # what was measured must not be lost with it
                self._limits[key] = ()
        return self._limits[key]

    def launch(
        self,
        case: Case,
        timing: Timing | None,
        checked: Checked,
        status: Callable[[str], None],
    ) -> Launch:
        """Run the case on the live group of its size, or on a new one; checked, and timed if ``timing`` is given."""
        reference = checked.reference
        status("starting ranks")
        group = self._groups.group(case.gpus)
        _log.info("launch of %s on %s: processes %s", case.engine, case.layout, group.pids)
        job = CaseJob(
            engine=case.engine_path,
            source=self._keeping.for_launch(case.source, case.layout, timing.launches if timing else 1),
            layout=case.layout,
            batches=prompts_in_parts(case.batches, case.layout, self._machine.device),
            sampling=case.workload.sampling,
            check=reference.check if reference else None,
            timing=timing,
            attention=self._machine.attention,
        )
        sampler = self._sampler(group, case) if timing and self._watching.sampled else None
        with sampler or nullcontext():
            reports: list[RankReport] = group.run(
                run_case, job, on_progress=_shown(_announced(sampler, status)), where=case.layout.where
            )
        problem = next((report.problem for report in reports if report.problem is not None), None)
        if problem is not None:
            raise WrongResultError(problem)
        if case.workload.dtype in EXACT_TOKENS and any(report.tokens_vary for report in reports):
            raise WrongResultError(
                f"rounds generated different tokens, which {case.workload.dtype} does not explain"
            )
        rounds = _rounds(case, reports)
        _check_marks(case, rounds)
        tokens = _in_prompt_order(case, reports)
        _check_counts(case, tokens)
        if reference is not None:
            _check_tokens(case, reference, tokens)
        span = reports[0].timed_span_s
        observation = sampler.observation(*span) if sampler and span else None
        for alert in observation.alerts if observation else ():
            _log.warning("%s", alert)
        return Launch(tuple(reports), tuple(rounds), tokens, observation)

    def _sampler(self, group: RankGroup, case: Case) -> Sampler:
        pids, gpus = group.pids, self._machine.gpus[: case.gpus]
        cores = self._machine.cores_of(case.gpus)
        return Sampler(lambda: MachineSource(pids, gpus, cores), self._watching.thresholds)


@dataclass(frozen=True)
class _Alone:
    """What one device does alone, and whence that is known; None and why there is no such figure.

    ``disturbances`` are the marks after which its times do not compare.
    """

    tokens_per_s: float | None
    origin: str
    disturbances: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Result, origin: str) -> _Alone:
        return cls(result.tokens_per_s, origin, disturbing(result.extra_info["marks"]))


def _prefixed(prefix: str, status: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: status(prefix + text)


def _announced(sampler: Sampler | None, status: Callable[[str], None]) -> Callable[[str], None]:
    return status if sampler is None else lambda text: status(sampler.announced(text))


def _shown(status: Callable[[str], None]) -> Callable[[int, Progress], None]:
    """The first rank's progress as a status line."""

    def show(rank: int, progress: Progress) -> None:
        if rank == 0:
            status(_progress_text(progress))

    return show


def _in_prompt_order(case: Case, reports: Sequence[RankReport]) -> list[list[int]]:
    by_index: dict[int, tuple[int, ...]] = {}
    for report in reports:
        by_index |= report.tokens or {}
    return [list(by_index.get(request.index, ())) for request in case.requests]


def _check_counts(case: Case, tokens: Sequence[Sequence[int]]) -> None:
    """Throughput counts the tokens that were asked for, so they must be there."""
    vocabulary = case.source.config.dimensions.vocabulary
    for request, generated in zip(case.requests, tokens, strict=True):
        if len(generated) != request.new_tokens:
            raise WrongResultError(
                f"request {request.index} has {len(generated)} new tokens, {request.new_tokens} were asked for"
            )
        if outside := [token for token in generated if not 0 <= token < vocabulary]:
            raise WrongResultError(
                f"request {request.index} has token {outside[0]}, outside the vocabulary of {vocabulary}"
            )


def _check_marks(case: Case, rounds: Sequence[Round]) -> None:
    """Every token of every request must have been noted, else latencies are those of something else."""
    expected = [
        [[micro.steps for micro in batch.microbatches] for batch in batches] for batches in case.batches
    ]
    for each in rounds:
        noted = [[[len(times) for times in batch.tokens_s] for batch in batches] for batches in each.replicas]
        if noted != expected:
            raise WrongResultError(f"the engine noted {noted} tokens of its microbatches, not {expected}")


def _check_tokens(case: Case, reference: Reference, tokens: Sequence[Sequence[int]]) -> None:
    """The timed rounds, too, must have begun with the reference's greedy tokens where those are exact."""
    sampling = case.workload.sampling
    if sampling.on or sampling.repetition_penalty != 1 or case.workload.dtype not in EXACT_TOKENS:
        return
    for request, generated in zip(case.requests, tokens, strict=True):
        expected = reference.tokens[request.index][: len(generated)]
        if tuple(generated[: len(expected)]) != expected:
            raise WrongResultError(
                f"request {request.index} began with tokens {list(generated[: len(expected)])},"
                f" its reference with {list(expected)}"
            )


def _rounds(case: Case, reports: Sequence[RankReport]) -> list[Round]:
    """Each round of the world: as long as its slowest rank, with the batches of each replica's last stage."""
    speakers = [lane[-1] for lane in case.layout.pipelines if case.layout.coordinates(lane[-1]).tp == 0]
    return [
        Round(
            max(each.seconds for each in ranks),
            tuple(ranks[speaker].batches for speaker in speakers),
            losses(case.layout, [each.seconds for each in ranks], [each.spent for each in ranks]),
        )
        for ranks in zip(*(report.rounds for report in reports), strict=True)
    ]


def _progress_text(progress: Progress) -> str:
    if not progress.total:
        return f"{progress.stage} {progress.done}" if progress.done else progress.stage
    if progress.stage == "loading":
        return f"loading {progress.done / progress.total:.0%}"
    return f"{progress.stage} {progress.done} of {progress.total}"
