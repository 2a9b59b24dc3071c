"""Runs cases of a mode: check, launches, watching, speed-up."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from pytest_gpt_dist.cluster import RankGroup, RankGroupError
from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold
from pytest_gpt_dist.errors import UsageError, first_line
from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.entry_points import measure_limits, run_job, run_profiled_job, take_profile
from pytest_gpt_dist.measure.envelope import make_result
from pytest_gpt_dist.measure.mode import CaseT, CheckedT, Groups, Mode
from pytest_gpt_dist.measure.progress import shown
from pytest_gpt_dist.measure.result import Launch, Result, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.telemetry.disturbances import disturbing, unfit
from pytest_gpt_dist.telemetry.sampler import Sampler
from pytest_gpt_dist.telemetry.source import MachineSource

_log = logging.getLogger(__name__)
_FAILURES = (UsageError, WrongResultError, RankGroupError)
Outcome = Result | UsageError | WrongResultError | RankGroupError
"""What a case came to: its figures, or why there are none."""


@dataclass(frozen=True)
class Watching:
    """How timed launches are watched: what is worth an alert, and whether every reading is saved.

    Up to ``repeats`` launches of a case that something else disturbed too much are measured again. Without
    ``sampled`` nobody looks, which is for measuring what the looks cost. With ``profile`` the first launch of a case
    writes traces of one more round into that folder.
    """

    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    keep_series: bool = False
    repeats: int = 0
    sampled: bool = True
    profile: Path | None = None


_WATCHING = Watching()


class CaseRunner(Generic[CaseT, CheckedT]):
    """Runs cases of a mode on rank groups and remembers, for a session, one-device throughputs and limits."""

    def __init__(
        self,
        mode: Mode[CaseT, CheckedT],
        groups: Groups,
        machine: Machine,
        watching: Watching = _WATCHING,
    ) -> None:
        self.mode = mode
        self._groups = groups
        self._machine = machine
        self._watching = watching
        self._alone: dict[tuple[str, object], _Alone] = {}
        self._limits: dict[tuple[int, str], tuple[DeviceLimits, ...]] = {}
        self._repeated: Counter[CaseT] = Counter()
        self._profiled: set[CaseT] = set()

    def run(
        self,
        case: CaseT,
        timing: Timing | None,
        one_device: Callable[[], CaseT | None],
        status: Callable[[str], None],
    ) -> Result:
        """Check a case and, unless ``timing`` is None, time it.

        ``one_device`` gives the same engine's one-device case, which is measured if this session has not
        done so. Raises WrongResultError where the case may have no numbers, RankGroupError where ranks failed.
        """
        return self.scaled(case, self._measure(case, timing, status), timing, one_device, status)

    def run_block(
        self,
        cases: Sequence[CaseT],
        timing: Timing,
        one_device: Callable[[CaseT], CaseT | None],
        status: Callable[[str], None],
    ) -> list[Outcome]:
        """Run cases that differ in their engine, launch by launch in turns; what each came to, in their order.

        Each launch begins with the next one of them, so that none is always first.
        """
        launches: list[list[Launch]] = [[] for _ in cases]
        outcomes: list[Outcome | None] = [None] * len(cases)
        checked: dict[int, CheckedT] = {}
        for place, case in enumerate(cases):  # before any launch, which begins with new processes
            try:
                checked[place] = self.mode.check(case, status)
            except _FAILURES as error:
                outcomes[place] = error
        for number in range(timing.launches):
            for turn in range(len(cases)):
                place = (number + turn) % len(cases)
                case = cases[place]
                if outcomes[place] is not None:
                    continue
                tell = prefixed(f"{case.engine}: ", status) if len(cases) > 1 else status
                try:
                    launches[place].append(self._next_launch(case, timing, checked[place], number, tell))
                except _FAILURES as error:
                    outcomes[place] = error
        for place, case in enumerate(cases):
            if outcomes[place] is None:
                outcomes[place] = self._concluded(
                    case, timing, checked[place], launches[place], one_device=one_device, status=status
                )
        return [outcome for outcome in outcomes if outcome is not None]

    def _concluded(
        self,
        case: CaseT,
        timing: Timing,
        checked: CheckedT,
        launches: Sequence[Launch],
        *,
        one_device: Callable[[CaseT], CaseT | None],
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
        case: CaseT,
        result: Result,
        timing: Timing | None,
        one_device: Callable[[], CaseT | None],
        status: Callable[[str], None],
    ) -> Result:
        """Return the result with its speed-up over the one-device case, which is measured if that is not known."""
        if result.throughput is None:
            return result
        self.remember(case, result)
        key = (case.engine, case.workload)
        if key not in self._alone:
            # What is finished must not be lost with its partner: one device may be too small for the model.
            try:
                if (partner_case := one_device()) is None:
                    return result
                alone = self._measure(partner_case, timing, prefixed("one device alone: ", status))
                self._alone[key] = _Alone.of(alone, "measured on demand")
            except _FAILURES as error:
                self._alone[key] = _Alone(None, first_line(error))
        partner = self._alone[key]
        if partner.throughput is None:
            return result.marked(f"no speed-up: on one device, {partner.origin}")
        result = result.scaled(partner.throughput, partner.origin)
        if partner.disturbances and case.gpus > 1:
            return result.marked(f"speed-up refers to a disturbed run: {', '.join(partner.disturbances)}")
        return result

    def remember(self, case: CaseT, result: Result) -> None:
        """Take a one-device result as what other cases of its engine and workload are compared with."""
        if case.gpus == 1 and result.throughput is not None:
            self._alone[case.engine, case.workload] = _Alone.of(result, "case of this session")

    def _measure(self, case: CaseT, timing: Timing | None, status: Callable[[str], None]) -> Result:
        checked = self.mode.check(case, status)
        count = timing.launches if timing else 1
        launches = [self._next_launch(case, timing, checked, number, status) for number in range(count)]
        return self.result(case, timing, checked, launches)

    def _next_launch(
        self,
        case: CaseT,
        timing: Timing | None,
        checked: CheckedT,
        number: int,
        status: Callable[[str], None],
    ) -> Launch:
        """Launch ``number`` of a case, from 0; of several launches each has new processes."""
        several = timing is not None and timing.launches > 1
        if several and timing is not None:
            told = f"launch {number + 1} of {timing.launches}"
            _log.info("%s", told)
            status = prefixed(f"{told}: ", status)

        def measured() -> Launch:
            if several:
                self._groups.renew()
            return self.launch(case, timing, checked, status)

        return self.undisturbed(case, measured)

    def fresh_launch(self, case: CaseT, timing: Timing, status: Callable[[str], None]) -> Launch:
        """Launch a case once more, in new processes."""
        checked = self.mode.check(case, status)

        def measured() -> Launch:
            self._groups.renew()
            return self.launch(case, timing, checked, status)

        return self.undisturbed(case, measured)

    def undisturbed(self, case: CaseT, measured: Callable[[], Launch]) -> Launch:
        """Return a launch, measured again while something else disturbed it and the case has repeats left.

        What is left out is chosen by what others did, never by how long it took.
        """
        launch = measured()
        while (why := unfit(launch.observation)) and self._repeated[case] < self._watching.repeats:
            self._repeated[case] += 1
            _log.info("measured again: %s", ", ".join(why))
            launch = replace(measured(), repeated=(*launch.repeated, *why))
        return launch

    def result(
        self, case: CaseT, timing: Timing | None, checked: CheckedT, launches: Sequence[Launch]
    ) -> Result:
        """Return what the launches came to."""
        return make_result(
            self.mode,
            case,
            self._machine,
            checked,
            launches,
            warmup=timing.warmup if timing else 0,
            limits=self._limits_of(case) if timing else (),
            keep_series=self._watching.keep_series,
        )

    def _limits_of(self, case: CaseT) -> tuple[DeviceLimits, ...]:
        """Return what as many ranks can do at once, measured once a session; () where that was impossible.

        Of ranks that share cores each is as fast as it happens to be scheduled, so that there is no limit.
        """
        if self._machine.oversubscribed(case.gpus):
            return ()
        key = (case.gpus, case.dtype)
        if key not in self._limits:
            try:
                self._limits[key] = tuple(self._groups.group(case.gpus).run(measure_limits, key[1]))
            except RankGroupError:  # what was measured must not be lost with it
                self._limits[key] = ()
        return self._limits[key]

    def launch(
        self,
        case: CaseT,
        timing: Timing | None,
        checked: CheckedT,
        status: Callable[[str], None],
    ) -> Launch:
        """Run the case on the live group of its size, or on a new one; checked, and timed if ``timing`` is given."""
        status("starting ranks")
        group = self._groups.group(case.gpus)
        _log.info("launch of %s on %s: processes %s", case.engine, case.layout, group.pids)
        path, job = self.mode.job(case, checked, timing)
        # Processes of other machines are not seen from here.
        watched = timing and self._watching.sampled and group.is_here
        sampler = self._sampler(group, case) if watched else None
        folder = self._trace_folder(case) if timing else None
        run: tuple[Any, ...] = (run_job, path, job)
        if folder is not None:
            run = (run_profiled_job, path, job, str(folder))
        with sampler or nullcontext():
            reports = group.run(*run, on_progress=shown(_announced(sampler, status)), where=case.layout.where)
        launch = self.mode.launched(case, checked, reports)
        if folder is not None:
            self._profiled.add(case)
            taken = group.run(take_profile)
            launch = replace(launch, profiles=tuple(each for each in taken if each is not None))
        span = reports[0].timed_span_s
        observation = sampler.observation(*span) if sampler and span else None
        for alert in observation.alerts if observation else ():
            _log.warning("%s", alert)
        return replace(launch, observation=observation)

    def _trace_folder(self, case: CaseT) -> Path | None:
        """Return where the traces of a case go that has none yet; None where nothing is to be profiled."""
        if self._watching.profile is None or case in self._profiled:
            return None
        digest = hashlib.sha256(str(case).encode()).hexdigest()[:6]
        return self._watching.profile / f"{case.gpus}gpu-{case.strategy}-{case.engine}-{digest}"

    def _sampler(self, group: RankGroup, case: CaseT) -> Sampler:
        pids, gpus = group.pids, self._machine.gpus[: case.gpus]
        pinned = frozenset(core for info in group.infos for core in info.cpus)
        cores = pinned if self._machine.device == "cpu" else frozenset()
        return Sampler(lambda: MachineSource(pids, gpus, cores), self._watching.thresholds)


@dataclass(frozen=True)
class _Alone:
    """What one device does alone, and whence that is known; None and why there is no such figure.

    ``disturbances`` are the marks after which its times do not compare.
    """

    throughput: float | None
    origin: str
    disturbances: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Result, origin: str) -> _Alone:
        return cls(result.throughput, origin, disturbing(result.extra_info["marks"]))


def prefixed(prefix: str, status: Callable[[str], None]) -> Callable[[str], None]:
    """Return what shows a text after a prefix."""
    return lambda text: status(prefix + text)


def _announced(sampler: Sampler | None, status: Callable[[str], None]) -> Callable[[str], None]:
    return status if sampler is None else lambda text: status(sampler.announced(text))
