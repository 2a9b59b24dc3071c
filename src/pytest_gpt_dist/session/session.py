"""What a session needs to run cases: machine, ranks, models and prompts, each made when first needed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pytest_gpt_dist.ab.other_side import Against, Named, find_against, open_against
from pytest_gpt_dist.ab.paired_runner import PairedCaseRunner, PairedRule
from pytest_gpt_dist.bounds import device_count
from pytest_gpt_dist.cluster import OWN, Cluster, ClusterConfig, RankGroup, RankGroupError, Side
from pytest_gpt_dist.cluster.config import Backend
from pytest_gpt_dist.config.sections import DEGREES
from pytest_gpt_dist.config.settings import Options, check_argument
from pytest_gpt_dist.errors import UsageError, first_line, quoted
from pytest_gpt_dist.git.revision import source_revision
from pytest_gpt_dist.host.machine import Machine, find_machine
from pytest_gpt_dist.host.scratch import Scratch
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Request, Task
from pytest_gpt_dist.inference.entry_points import tokenize
from pytest_gpt_dist.inference.fingerprint import fingerprint
from pytest_gpt_dist.inference.matrix import MatrixCase, matrix
from pytest_gpt_dist.inference.mode import Checked, InferenceMode
from pytest_gpt_dist.inference.prompt_files import PromptFiles
from pytest_gpt_dist.inference.prompts import (
    BYTE_TOKENIZER,
    Prompt,
    Tokenize,
    find_tokenizer,
    given_prompts,
    shipped_prompts,
    tokenize_bytes,
)
from pytest_gpt_dist.inference.result import GenerationResult
from pytest_gpt_dist.inference.workload import PathNames, Workload, build_requests
from pytest_gpt_dist.measure.journal import Identity, Journal, JournalError
from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.runner import CaseRunner, Outcome, Watching
from pytest_gpt_dist.model.catalog import ResolvedModel, needs_hub, resolve
from pytest_gpt_dist.parallel import Layout, stages
from pytest_gpt_dist.parallel.strategy import degenerate
from pytest_gpt_dist.registry import Registry, unknown
from pytest_gpt_dist.session.session_log import SessionLog

_WORKLOAD = tuple(field.name for field in dataclasses.fields(Workload))
_TIMING = ("warmup", "rounds", "min_rounds", "max_time", "launches")
_CHECKED = {*DEGREES, *_WORKLOAD, *_TIMING} - {"prompts"}
MATRIX = ("strategy", "gpus", "engine")
ARGUMENTS = (*MATRIX, *DEGREES, *_WORKLOAD, *_TIMING)


class Bench:
    """Runs cases for one session; ``close`` ends every process and removes every file that it made.

    Attributes:
        cases: how many tests run cases, once that is known.
    """

    def __init__(self, options: Options, registry: Registry, rootdir: Path, *, timed: bool) -> None:
        self.options = options
        self.registry = registry
        self.timed = timed
        self.cases = 1
        self._rootdir = rootdir
        self._journal = Journal(rootdir / ".gpt-dist", GenerationResult.of)
        self._journals = timed
        self._cluster: Cluster | None = None
        self._scratch = Scratch()
        self._log: SessionLog | None = None
        self._against: Against | None = None
        self._side = OWN
        self._waiting: dict[tuple[Case, Timing], Outcome] = {}
        self._models: dict[tuple[str, str | None], ResolvedModel] = {}
        self._files = PromptFiles()
        self._tokenized: dict[tuple[str, tuple[str, ...]], list[list[int]]] = {}

    @cached_property
    def machine(self) -> Machine:
        """What there is to run on."""
        return find_machine(self.options)

    @property
    def workload(self) -> Workload:
        """The workload that the options describe."""
        return Workload.of(self.options, self.machine.device)

    def group(self, world_size: int) -> RankGroup:
        """A live group of that many ranks."""
        if self._cluster is None:
            options, machine = self.options, self.machine
            self._cluster = Cluster(
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
                )
            )
        return self._cluster.group(world_size)

    def run(self, case: Case, timing: Timing | None, status: Callable[[str], None]) -> Result:
        """Check a case and, if ``timing`` is given, time it."""
        return self._runner.run(case, timing, lambda: self._alone(case), status)

    def run_in_block(
        self, case: Case, others: Sequence[Case], timing: Timing, status: Callable[[str], None]
    ) -> Result:
        """Check a case and time it in turns with others of other engines, whose results wait until asked for."""
        if (outcome := self._waiting.pop((case, timing), None)) is None:
            cases = [case, *others]
            outcomes = self._runner.run_block(cases, timing, self._alone, status)
            self._waiting |= {(each, timing): came for each, came in zip(cases, outcomes, strict=True)}
            outcome = self._waiting.pop((case, timing))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def lacks(self, case: Case) -> str | None:
        """Why a case cannot run here, in one line, or None: too few devices, or beyond its engine."""
        lack = self.machine.lacks(case.gpus)
        limits = self.registry.engine_limits(case.engine)
        if lack is not None or limits is None:
            return lack
        sampling, machine = case.workload.sampling, self.machine
        staged = machine.staged(case.gpus)
        lacks: str | None = limits.lacks(
            Task(case.source, case.layout, case.batches, sampling, machine.device, staged)
        )
        return lacks

    def run_in_pairs(
        self, case: Case, timing: Timing, min_effect: float | None, status: Callable[[str], None]
    ) -> Result:
        """Check a case and time it in turns with the other side."""
        assert self.against is not None
        runner = PairedCaseRunner(self._runner, self, self.against)
        return runner.run(case, timing, self._rule(min_effect), lambda: self._alone(case), status)

    def resume(self, name: str, case: Case, timing: Timing, min_effect: float | None) -> Result | str | None:
        """What a killed session measured of this case of the test ``name``; why it does not serve; None if nothing.

        None as well where ``--gpt-resume`` was not asked for.
        """
        if not self.options.resume:
            return None
        found = self._journal.find(self._identity(name, case, timing, min_effect))
        if isinstance(found, Result):
            self._runner.remember(case, found)
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

    def keep(
        self, name: str, case: Case, timing: Timing, min_effect: float | None, result: Result
    ) -> str | None:
        """Put a result on disk at once; in a line, why it is not there. The result is right all the same."""
        if not self._journals:
            return None
        try:
            self._journal.write(self._identity(name, case, timing, min_effect), result)
        except JournalError as error:
            return f"--gpt-resume would measure it again: {error}"
        return None

    def forget(self, name: str) -> None:
        """Take from disk what an earlier attempt at the test ``name`` put there."""
        self._journal.forget(name)

    def complete(self) -> None:
        """The session ended as it should: there is nothing to resume."""
        self._journal.complete()

    def case(self, arguments: Mapping[str, Any]) -> tuple[Case, Timing | None]:
        """The case that arguments describe, on top of the options, and how it is to be timed.

        Raises UsageError, in one line, for anything wrong in them.
        """
        self._check(arguments)
        workload = self._workload_of(arguments)
        strategy, layout, equals = self._layout(arguments)
        engine = arguments.get("engine")
        engine = self.options.engine[0] if engine is None else engine
        if not isinstance(engine, str):
            raise UsageError(f"engine={quoted(engine)}: expected the name of an engine")
        stages(self._model(workload).config.dimensions, layout.pp)  # UsageError where there are too many
        case = self._resolve(workload, strategy, layout, equals, engine)
        _ = case.batches  # UsageError where a request is larger than what the token budget leaves its batch
        return case, self._timing(arguments)

    def _check(self, arguments: Mapping[str, Any]) -> None:
        for name in arguments:
            if name not in ARGUMENTS:
                raise unknown("argument", name, ARGUMENTS)
            if name in _CHECKED and arguments[name] is not None:
                check_argument(name, arguments[name])

    def open_log(self) -> None:
        """Write down what the session does where ``--gpt-log-dir`` says; UsageError where that is impossible."""
        if self.options.log_dir is not None:
            worker = os.environ.get("PYTEST_XDIST_WORKER")
            option = self.options.written("log_dir", self.options.log_dir)
            self._log = SessionLog(Path(self.options.log_dir), self.options.log_level, worker, option)

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str] = ()) -> list[MatrixCase]:
        """Return the matrix of a test that gives ``arguments`` itself, and ``own`` ones in another part of its id.

        What is wrong with them is said by the test when it runs, in one line.
        """
        try:
            self._check(arguments)
            workload = self._workload_of(arguments)
        except UsageError:
            workload = self.workload
        device = self.machine.device
        workload = workload.without([name for name in own if name not in arguments], device)
        return matrix(self.options, workload, device, self.registry.strategies, self._path_names(workload))

    def _path_names(self, workload: Workload) -> PathNames:
        """Of what cannot be read there is none; the session says so before its first case."""
        model = prompts = None
        with suppress(UsageError):
            if not needs_hub(workload.model, self.registry, workload.weights):
                resolved = self._model(workload)
                model = None if resolved.path is None else resolved.saved_name
        with suppress(UsageError):
            if isinstance(workload.prompts, str):
                prompts = self._files.name(Path(workload.prompts))
        return PathNames(model, prompts)

    def check_options(self, *, collect_only: bool = False) -> None:
        """Find what is wrong with the options before anything starts; UsageError in one line.

        Where the session is to ``collect_only``, neither the hub nor a tokenizer is asked.
        """
        for engine in self.options.engine:
            self.registry.engine_path(engine)
        workload = self.workload
        asks_hub = not self.options.offline and needs_hub(workload.model, self.registry, workload.weights)
        if collect_only and asks_hub:
            return
        model = self._model(workload)
        if self.options.degrees is not None:
            stages(model.config.dimensions, Layout(*self.options.degrees).pp)
        prompts = self._prompts(workload)
        if collect_only:
            return
        if self._tokenizer(model)[0] == BYTE_TOKENIZER or all(prompt.text is None for prompt in prompts):
            self._requests(workload, model, max(self.options.counts))
            if workload.token_budget is not None:  # what it leaves a batch depends on the layout
                self._check_budget(workload)

    def _check_budget(self, workload: Workload) -> None:
        for each in matrix(self.options, workload, self.machine.device, self.registry.strategies):
            if self.machine.lacks(each.gpus) is None:
                self.case({"gpus": each.gpus, "strategy": each.strategy, "engine": each.engine})

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

    def renew(self, side: Side = OWN) -> None:
        """End every group and its server; the next one has new processes, of that side, from a new server."""
        self._side = side
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def close(self) -> None:
        """End all ranks; does nothing the second time."""
        with ExitStack() as stack:  # the last first, each whatever becomes of those before it
            if self._log is not None:
                stack.callback(self._log.close)
            stack.callback(self._journal.close)
            stack.callback(self._scratch.close)
            if self._against is not None:
                stack.callback(self._against.close)
            stack.callback(self.renew)
            self._log = self._against = None

    def _rule(self, min_effect: float | None) -> PairedRule:
        options = self.options
        return PairedRule(
            options.min_effect if min_effect is None else min_effect, options.gate, options.null_control
        )

    def _identity(self, name: str, case: Case, timing: Timing, min_effect: float | None) -> Identity:
        how = dataclasses.asdict(timing)
        if self.against is not None:
            rule = dataclasses.asdict(self._rule(min_effect))
            how |= {"against": self.against.named.identity, "versions": self.against.versions}
            how |= rule | {"gates": list(rule["gates"])}
        return Identity(name, fingerprint(case, self.machine), how, self._revision)

    @cached_property
    def _revision(self) -> str | None:
        return source_revision(self._rootdir)

    @cached_property
    def _runner(self) -> CaseRunner[Case, Checked]:
        watching = Watching(self.options.alert, keep_series=self.options.report is not None)
        mode = InferenceMode(
            self,
            self.machine,
            lambda: self._scratch.folder,
            cases=self.cases,
            paired=self.options.against is not None,
        )
        return CaseRunner(mode, self, self.machine, watching)

    def _alone(self, case: Case) -> Case:
        return self._resolve(case.workload, "pure_data_parallel", Layout(), None, case.engine)

    def _resolve(
        self, workload: Workload, strategy: str, layout: Layout, equals: str | None, engine: str
    ) -> Case:
        model = self._model(workload)
        limits = self.registry.engine_limits(engine)
        return Case(
            strategy=strategy,
            layout=layout,
            degenerate=equals,
            engine=engine,
            engine_path=self.registry.engine_path(engine),
            workload=workload,
            model_name=model.saved_name,
            source=ModelSource(model.config, model.folder, workload.seed, workload.dtype),
            tokenizer=self._tokenizer(model)[0],
            requests=self._requests(workload, model, layout.world_size),
            engine_version=limits.version if limits is not None else None,
            model_content=model.content,
        )

    def _workload_of(self, arguments: Mapping[str, Any]) -> Workload:
        given = {name: arguments[name] for name in _WORKLOAD if arguments.get(name) is not None}
        if "prompts" in given and not isinstance(given["prompts"], (str, Path)):
            if "requests" in given:
                raise UsageError("prompts given in code are exactly the requests; leave out requests")
            given["prompts"] = given_prompts(given["prompts"])
            given = {"prompt_tokens": None, "requests": None} | given
        elif "prompts" in given:
            given = {"prompt_tokens": self.options.prompt_tokens} | given
            given["prompts"] = str(given["prompts"])
        if given.get("batching", "token-budget") != "token-budget":
            given = {"token_budget": None} | given  # what the options say is of another way of batching
        return replace(self.workload, **given)

    def _layout(self, arguments: Mapping[str, Any]) -> tuple[str, Layout, str | None]:
        gpus = arguments.get("gpus")
        if gpus is not None:
            device_count(gpus)
        name = arguments.get("strategy")
        given = {degree: arguments[degree] for degree in DEGREES if arguments.get(degree) is not None}
        if given and name is not None:
            raise UsageError(
                f"strategy={quoted(name)} and {', '.join(given)}: give either a strategy or degrees"
            )
        if given:
            return self._checked_layout(Layout(*(given.get(degree, 1) for degree in DEGREES)), gpus)
        if name is None and self.options.degrees is not None:
            return self._checked_layout(Layout(*self.options.degrees), gpus)
        name = name or self.registry.strategies[0]
        if not isinstance(name, str):
            raise UsageError(f"strategy={quoted(name)}: expected the name of a strategy")
        if name not in self.registry.strategies and name.startswith("dp"):
            return self._checked_layout(Layout.parse(name), gpus)
        only = self.options.gpus if self.options.gpus is not None and len(self.options.gpus) == 1 else (1,)
        count = gpus or only[0]
        strategy = self.registry.strategy(name)
        layout = strategy.layout(count)
        if layout.world_size != count:
            raise UsageError(
                f"strategy {name!r}: its layout for {count} devices, {layout}, is of {layout.world_size}"
            )
        names = self.registry.strategies
        earlier = [self.registry.strategy(other) for other in names[: names.index(name)]]
        return name, layout, degenerate(strategy, count, earlier)

    def _checked_layout(self, layout: Layout, gpus: int | None) -> tuple[str, Layout, str | None]:
        if gpus is not None and layout.world_size != gpus:
            raise UsageError(
                f"data_parallel {layout.dp} × pipeline_parallel {layout.pp} × tensor_parallel {layout.tp}"
                f" = {layout.world_size} devices, but gpus={gpus}"
            )
        return layout.id, layout, None

    def _timing(self, arguments: Mapping[str, Any]) -> Timing | None:
        if not self.timed:
            return None
        warmup, rounds, min_rounds, max_time_s, launches = (
            getattr(self.options, name) if arguments.get(name) is None else arguments[name]
            for name in _TIMING
        )
        return Timing(warmup, rounds, min_rounds, max_time_s, launches)

    def _model(self, workload: Workload) -> ResolvedModel:
        key = (workload.model, workload.weights)
        if key not in self._models:
            self._models[key] = resolve(
                workload.model, self.registry, workload.weights, offline=self.options.offline
            )
        return self._models[key]

    def _prompts(self, workload: Workload) -> Sequence[Prompt]:
        if isinstance(workload.prompts, tuple):
            return workload.prompts
        return shipped_prompts() if workload.prompts is None else self._files.read(Path(workload.prompts))

    def _tokenizer(self, model: ResolvedModel) -> tuple[str, Tokenize]:
        folder = find_tokenizer(model.tokenizer)
        if folder is None:
            return BYTE_TOKENIZER, tokenize_bytes
        return model.saved_name, lambda texts: self._tokenize(folder, tuple(texts))

    def _tokenize(self, folder: str, texts: tuple[str, ...]) -> list[list[int]]:
        """Token ids by a tokenizer that only ranks can load; cases share their prompts, so each is asked once."""
        key = (folder, texts)
        if key not in self._tokenized:
            try:
                (self._tokenized[key],) = self.group(1).run(tokenize, folder, texts)
            except RankGroupError as error:
                raise UsageError(
                    f"{folder}: its prompts could not be tokenized: {first_line(error)}"
                ) from None
        return self._tokenized[key]

    def _requests(self, workload: Workload, model: ResolvedModel, gpus: int) -> tuple[Request, ...]:
        tokenize_texts = self._tokenizer(model)[1]
        return build_requests(
            workload, self._prompts(workload), gpus, model.config.dimensions, tokenize_texts
        )
