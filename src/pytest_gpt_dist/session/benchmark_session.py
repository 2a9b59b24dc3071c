"""What a session needs to run cases of any mode: machine, ranks, journal, each made when first needed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pytest_gpt_dist.ab.other_side import Against, Named, find_against, open_against
from pytest_gpt_dist.ab.paired_runner import PairedCaseRunner, PairedRule
from pytest_gpt_dist.cluster import OWN, Cluster, ClusterConfig, RankGroup, RankGroupError, Side
from pytest_gpt_dist.cluster.config import Backend
from pytest_gpt_dist.cluster.local.client import local_server
from pytest_gpt_dist.cluster.torchrun.launcher import TorchrunWorld, open_world, torchrun_launchers
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.git.revision import source_revision
from pytest_gpt_dist.host.machine import Machine, find_machine, machine_of
from pytest_gpt_dist.host.scratch import Scratch
from pytest_gpt_dist.measure.arguments import TIMING, min_effect_of, of_mode, timing_of
from pytest_gpt_dist.measure.envelope import look_entries
from pytest_gpt_dist.measure.journal import Identity, Journal, JournalError
from pytest_gpt_dist.measure.matrix import MatrixCase
from pytest_gpt_dist.measure.mode import CaseSpec, Mode, ModeContext, Status
from pytest_gpt_dist.measure.result import Launch, Result
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner, Outcome, Watching
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.session.session_log import SessionLog

MOST_REPEATS = 2
"""Disturbed launches of a case that a session which compares measures again, before its verdict is given up."""


@dataclass(frozen=True)
class CaseRun:
    """A case as a test asks for it: of which mode, how it is timed, and the smallest effect that matters.

    It is checked and not timed where ``timing`` is None; where ``min_effect`` is None, the options say it.
    """

    mode: str
    case: CaseSpec
    timing: Timing | None
    min_effect: float | None = None


def _nobody(text: str) -> None:
    """Tell nobody."""


class BenchmarkSession:
    """Runs cases for one session; ``close`` ends every process and removes every file that it made.

    Where it never ``runs`` any, tests are only collected; ``tell`` shows a line while something takes long.

    Attributes:
        case_count: how many tests run cases, once that is known.
    """

    def __init__(
        self,
        options: Options,
        registry: Registry,
        rootdir: Path,
        *,
        timed: bool,
        runs: bool = True,
        tell: Callable[[str], None] = _nobody,
    ) -> None:
        self.options = options
        self.registry = registry
        self.timed = timed
        self.case_count = 1
        self._rootdir = rootdir
        self._runs = runs
        self._tell = tell
        self._journal = Journal(rootdir / ".gpt-dist", self._restored)
        self._journals = timed
        self._clusters: dict[Side, Cluster] = {}
        self._scratch = Scratch()
        self._log: SessionLog | None = None
        self._against: Against | None = None
        self._world: TorchrunWorld | None = None
        self._side = OWN
        self._runners: dict[str, CaseRunner[Any, Any]] = {}
        self._waiting: dict[CaseRun, Outcome] = {}
        self._recorded: dict[str, tuple[CaseRun, list[Launch]]] = {}

    @cached_property
    def machine(self) -> Machine:
        """What there is to run on."""
        if self.options.rendezvous is None or not self._runs:
            return find_machine(self.options)
        return machine_of(self._met(*self.options.rendezvous).world, self.options)

    def _met(self, host: str, port: int) -> TorchrunWorld:
        """Return the world that torchrun has brought up; UsageError where it does not come."""
        if self._world is None:
            self._world = open_world(host, port, self.options.timeout)
        self._tell(f"waiting for torchrun's ranks at {host}:{port}")
        if (lacking := self._world.whole()) is not None:
            raise UsageError(f"{self.options.source('rendezvous')}: {lacking}")
        return self._world

    def mode(self, name: str) -> Mode[Any, Any]:
        """Return the mode of that name, made when first asked for; UsageError where that is impossible."""
        return self._runner(name).mode

    def group(self, world_size: int) -> RankGroup:
        """Return a live group of that many ranks."""
        if self._side not in self._clusters:
            options, machine = self.options, self.machine  # which has met the world, if there is one
            self._clusters[self._side] = Cluster(
                ClusterConfig(
                    device="cuda" if machine.device == "cuda" else "cpu",
                    backend=cast(Backend, options.backend),
                    threads_per_rank=options.threads_per_rank,
                    share_gpu=options.share_gpu,
                    memory_limit_bytes=options.memory_limit,
                    timeout_s=options.timeout,
                    log_dir=Path(options.log_dir) if options.log_dir else None,
                    log_level=options.log_level,
                    pin_cpus=self.timed,
                    side=self._side,
                    preload=self._preload,
                    wait_s=options.wait if self._leases else None,
                ),
                local_server if self._world is None else torchrun_launchers(self._world),
                self._tell,
            )
        return self._clusters[self._side].group(world_size)

    @property
    def _leases(self) -> bool:
        """Return whether devices are to be this session's alone: GPUs, and cores to which ranks are pinned."""
        return self._world is None and (self.machine.device == "cuda" or self.timed)

    @property
    def _preload(self) -> tuple[str, ...]:
        """Return what the ranks of the modes that there are by now need."""
        modules = (module for runner in self._runners.values() for module in runner.mode.preload)
        return tuple(dict.fromkeys(modules))

    def renew(self, side: Side = OWN) -> None:
        """End every rank; the next group has new processes, of that side, forked by the side's server."""
        for cluster in self._clusters.values():
            cluster.end_ranks()
        self._side = side

    def arguments(self, mode: str) -> Collection[str]:
        """Return the names by which a test may say what a case of that mode is and how it is timed."""
        return (*self.mode(mode).cases.arguments, *TIMING)

    def asked(self, mode: str, arguments: Mapping[str, Any]) -> CaseRun:
        """Return the case that arguments describe, on top of the options, and how it is to be timed.

        UsageError, in one line, for anything wrong in them.
        """
        cases = self.mode(mode).cases
        min_effect = min_effect_of(arguments)
        case = cases.case(of_mode(arguments, cases.arguments))
        timing = timing_of(arguments, self.options) if self.timed else None
        return CaseRun(mode, case, timing, min_effect)

    def matrix(
        self, mode: str, arguments: Mapping[str, Any], own: Collection[str] = ()
    ) -> Sequence[MatrixCase]:
        """Return the matrix of a test that gives ``arguments`` itself, and ``own`` ones in another part of its id.

        What is wrong with them is said by the test when it runs, in one line.
        """
        cases = self.mode(mode).cases
        try:
            given = of_mode(arguments, cases.arguments)
        except UsageError:
            given = {}
        return cases.matrix(given, [name for name in own if name not in arguments])

    def lacks_devices(self, count: int) -> str | None:
        """Return in one line why so many ranks cannot run here, or None; waits for a machine that was lost."""
        machine = self.machine
        if self._world is not None and (lacking := self._world.whole()) is not None:
            return f"its machines are not there: {lacking}"
        return machine.lacks(count)

    def lacks(self, run: CaseRun) -> str | None:
        """Return in one line why a case cannot run here, or None."""
        return self.lacks_devices(run.case.gpus) or self.mode(run.mode).cases.lacks(run.case)

    def run(self, run: CaseRun, status: Status) -> Result:
        """Check a case and, unless it has no timing, time it."""
        runner = self._runner(run.mode)
        return runner.run(run.case, run.timing, lambda: runner.mode.cases.alone(run.case), status)

    def run_in_block(self, run: CaseRun, others: Sequence[CaseRun], status: Status) -> Result:
        """Check a case and time it in turns with others of other engines, whose results wait until asked for."""
        assert run.timing is not None
        if (outcome := self._waiting.pop(run, None)) is None:
            runner = self._runner(run.mode)
            block = [run, *others]
            outcomes = runner.run_block(
                [each.case for each in block], run.timing, runner.mode.cases.alone, status
            )
            self._waiting |= zip(block, outcomes, strict=True)
            outcome = self._waiting.pop(run)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def run_in_pairs(self, run: CaseRun, status: Status) -> Result:
        """Check a case and time it in turns with the other side."""
        assert run.timing is not None
        assert self.against is not None
        runner = self._runner(run.mode)
        return PairedCaseRunner(runner, self, self.against).run(
            run.case, run.timing, self._rule(run), lambda: runner.mode.cases.alone(run.case), status
        )

    def record(self, test: str, run: CaseRun) -> None:
        """Remember what a test ran, in case it is to be looked at again."""
        self._recorded[test] = (run, [])

    def has_run(self, test: str) -> bool:
        """Return whether the test ran a case in this session that can be looked at again."""
        return test in self._recorded

    def look_again(self, test: str, status: Status) -> dict[str, Any]:
        """Launch a test's case once more; return what is saved of all its further launches so far."""
        run, launches = self._recorded[test]
        assert run.timing is not None
        runner = self._runner(run.mode)
        launches.append(runner.fresh_launch(run.case, run.timing, status))
        return look_entries(runner.mode, run.case, launches)

    def resume(self, test: str, run: CaseRun) -> Result | str | None:
        """Return what a killed session measured of a test's case; why it does not serve; None if there is nothing.

        None as well where ``--gpt-resume`` was not asked for, or where nothing is timed.
        """
        if not self.options.resume or run.timing is None:
            return None
        found = self._journal.find(self._identity(test, run))
        if isinstance(found, Result):
            self._runner(run.mode).remember(run.case, found)
        return found

    def open_journal(self) -> str | None:
        """Make the journal before anything is measured; in a line, why there is none.

        UsageError instead of that line where ``--gpt-resume`` asks for one.
        """
        try:
            self._journal.open()
        except JournalError as error:
            if self.options.resume:
                raise UsageError(f"{self.options.source('resume')}: {error}") from None
            self._journals = False
            return f"this session cannot be resumed if it is killed: {error}"
        return None

    def keep(self, test: str, run: CaseRun, result: Result) -> str | None:
        """Put a result on disk at once; in a line, why it is not there. The result is right all the same."""
        if not self._journals or run.timing is None:
            return None
        try:
            self._journal.write(self._identity(test, run), result)
        except JournalError as error:
            return f"--gpt-resume would measure it again: {error}"
        return None

    def forget(self, test: str) -> None:
        """Take from disk what an earlier attempt at a test put there."""
        self._journal.forget(test)

    def complete(self) -> None:
        """Leave nothing to resume, as the session ended as it should."""
        self._journal.complete()

    def open_log(self) -> None:
        """Write down what the session does where ``--gpt-log-dir`` says; UsageError where that is impossible."""
        if self.options.log_dir is not None:
            worker = os.environ.get("PYTEST_XDIST_WORKER")
            option = self.options.written("log_dir", self.options.log_dir)
            self._log = SessionLog(Path(self.options.log_dir), self.options.log_level, worker, option)

    @property
    def against(self) -> Against | None:
        """The other side of ``--gpt-against``, found to be usable; UsageError where it is not."""
        if self.options.against is None:
            return None
        if self._against is None:
            named = find_against(
                self.options.against, self._rootdir, Path.cwd(), self.options.written("against")
            )
            self._against = self._opened(named)
        elif not self._against.is_there:
            self._against.close()
            self._against = self._opened(self._against.named)
        return self._against

    def close(self) -> None:
        """End all ranks; does nothing the second time."""
        with ExitStack() as stack:  # the last first, each whatever becomes of those before it
            if self._log is not None:
                stack.callback(self._log.close)
            stack.callback(self._journal.close)
            stack.callback(self._scratch.close)
            if self._against is not None:
                stack.callback(self._against.close)
            if self._world is not None:
                stack.callback(self._world.close)
            for cluster in self._clusters.values():
                stack.callback(cluster.close)
            self._clusters.clear()
            self._log = self._against = self._world = None

    def _opened(self, named: Named) -> Against:

        def one_rank(side: Side) -> RankGroup:
            if self._side != side:
                self.renew(side)
            return self.group(1)

        try:
            return open_against(named, self._scratch.folder, one_rank)
        except RankGroupError as error:
            raise UsageError(f"{named.what}: {first_line(error)}") from None
        finally:
            self.renew()

    def _rule(self, run: CaseRun) -> PairedRule:
        options = self.options
        return PairedRule(
            options.min_effect if run.min_effect is None else run.min_effect,
            options.gate,
            options.null_control,
        )

    def _identity(self, test: str, run: CaseRun) -> Identity:
        assert run.timing is not None
        how = dataclasses.asdict(run.timing)
        if self.against is not None:
            rule = dataclasses.asdict(self._rule(run))
            how |= {"against": self.against.named.identity, "versions": self.against.versions}
            how |= rule | {"gates": list(rule["gates"])}
        return Identity(test, self.mode(run.mode).cases.fingerprint(run.case), how, self._revision)

    @cached_property
    def _revision(self) -> str | None:
        return source_revision(self._rootdir)

    def _restored(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> Result:
        return self.mode(info["mode"]).result(info, output, samples)

    def _runner(self, mode: str) -> CaseRunner[Any, Any]:
        if mode not in self._runners:
            options = self.options
            compares = options.baseline or options.require_baseline or options.against is not None
            watching = Watching(
                self.options.alert,
                keep_series=self.options.report is not None,
                repeats=MOST_REPEATS if compares else 0,
                profile=Path(options.profile) if options.profile else None,
            )
            self._runners[mode] = CaseRunner(self._made(mode), self, self.machine, watching)
        return self._runners[mode]

    def _made(self, mode: str) -> Mode[Any, Any]:
        factory: Callable[[ModeContext], Mode[Any, Any]] = self.registry.mode(mode)
        context = ModeContext(
            self.options,
            self.registry,
            self.machine,
            groups=self,
            scratch=lambda: self._scratch.folder,
            case_count=lambda: self.case_count,
        )
        try:
            return factory(context)
        except UsageError:
            raise
        except Exception as error:  # whatever is registered, and whatever it does
            raise UsageError(f"mode {quoted(mode)}: cannot be made: {first_line(error)}") from error
