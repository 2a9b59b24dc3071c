"""Cases of inference, as options and tests ask for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from pytest_gpt_dist.config.sections import DEGREES, MATRIX
from pytest_gpt_dist.config.settings import check_argument
from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Task
from pytest_gpt_dist.inference.fingerprint import fingerprint
from pytest_gpt_dist.inference.inputs import Inputs
from pytest_gpt_dist.inference.prompts import BYTE_TOKENIZER
from pytest_gpt_dist.inference.workload import Workload, asked_workload
from pytest_gpt_dist.measure.matrix import MatrixCase, combinations, matrix
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.parallel import Layout, stages
from pytest_gpt_dist.parallel.chosen_layout import ONE_DEVICE, ChosenLayout, choose_layout

_WORKLOAD = tuple(field.name for field in dataclasses.fields(Workload))
_CHECKED = {*DEGREES, *_WORKLOAD} - {"prompts"}
_SWEEPS = {name: name for name in _WORKLOAD}
ARGUMENTS = (*MATRIX, *DEGREES, *_WORKLOAD)


class CaseBuilder:
    """Makes cases of inference for one session."""

    arguments = ARGUMENTS

    def __init__(self, context: ModeContext) -> None:
        self._options = context.options
        self._registry = context.registry
        self._machine = context.machine
        self._inputs = Inputs(context.registry, context.groups, offline=context.options.offline)

    def case(self, arguments: Mapping[str, Any]) -> Case:
        """Return the case that arguments describe on top of the options; UsageError for anything wrong in them."""
        workload = self._workload(arguments)
        chosen = choose_layout(arguments, self._options, self._registry).undivided()
        engine = arguments.get("engine")
        engine = self._options.engine[0] if engine is None else engine
        if not isinstance(engine, str):
            raise UsageError(f"engine={quoted(engine)}: expected the name of an engine")
        # UsageError where there are too many
        stages(self._inputs.model(workload).config.dimensions, chosen.layout.pp)
        case = self._resolved(workload, chosen, engine)
        _ = case.batches  # UsageError where a request is larger than what the token budget leaves its batch
        return case

    def alone(self, case: Case) -> Case:
        """Return the one-device case of the same engine and workload."""
        return self._resolved(case.workload, ONE_DEVICE, case.engine)

    def lacks(self, case: Case) -> str | None:
        """Return in a line what of the case is beyond its engine, or None."""
        limits = self._registry.engine_limits(case.engine)
        if limits is None:
            return None
        sampling, machine = case.workload.sampling, self._machine
        staged = machine.staged(case.gpus)
        lacks: str | None = limits.lacks(
            Task(case.source, case.layout, case.batches, sampling, machine.device, staged)
        )
        return lacks

    def fingerprint(self, case: Case) -> Mapping[str, Any]:
        """Return everything besides the code under test that changes the case's numbers, as it is saved."""
        return fingerprint(case, self._machine)

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str] = ()) -> list[MatrixCase]:
        """Return the matrix of a test that gives ``arguments`` itself, and ``own`` ones in another part of its id.

        What is wrong with them is said by the test when it runs, in one line.
        """
        device = self._machine.device
        cases = []
        for swept in combinations(self._options, _SWEEPS, {*arguments, *own}):
            try:
                workload = self._workload({**swept, **arguments})
            except UsageError:
                workload = self._usual
            workload = workload.without(own, device)
            label = workload.label(device, self._inputs.path_names(workload))
            cases += matrix(self._options, self._registry.strategies, label, swept)
        return cases

    def check_options(self, *, collect_only: bool = False) -> None:
        """Find what is wrong with the options before anything starts; UsageError in one line.

        Where the session is to ``collect_only``, neither the hub nor a tokenizer is asked.
        """
        for engine in self._options.engine:
            self._registry.engine_path(engine)
        for swept in combinations(self._options, _SWEEPS):
            self._check_workload(swept, collect_only=collect_only)

    def _check_workload(self, swept: Mapping[str, Any], *, collect_only: bool) -> None:
        workload = self._workload(swept)
        if collect_only and self._inputs.asks_hub(workload):
            return
        model = self._inputs.model(workload)
        if self._options.degrees is not None:
            stages(model.config.dimensions, Layout(*self._options.degrees).pp)
        prompts = self._inputs.prompts(workload)
        if collect_only:
            return
        if self._inputs.tokenizer(model)[0] == BYTE_TOKENIZER or all(
            prompt.text is None for prompt in prompts
        ):
            self._inputs.requests(workload, max(self._options.counts))
            if workload.token_budget is not None:  # what it leaves a batch depends on the layout
                self._check_budget(swept)

    def _check_budget(self, swept: Mapping[str, Any]) -> None:
        for each in matrix(self._options, self._registry.strategies):
            if self._machine.lacks(each.gpus) is None:
                self.case({**swept, "gpus": each.gpus, "strategy": each.strategy, "engine": each.engine})

    @property
    def _usual(self) -> Workload:
        """The workload that the options describe."""
        return Workload.of(self._options, self._machine.device)

    def _workload(self, arguments: Mapping[str, Any]) -> Workload:
        for name, value in arguments.items():
            if name in _CHECKED and value is not None:
                check_argument(name, value)
        return asked_workload(arguments, self._options, self._usual)

    def _resolved(self, workload: Workload, chosen: ChosenLayout, engine: str) -> Case:
        model = self._inputs.model(workload)
        limits = self._registry.engine_limits(engine)
        return Case(
            strategy=chosen.strategy,
            layout=chosen.layout,
            degenerate=chosen.degenerate,
            engine=engine,
            engine_path=self._registry.engine_path(engine),
            workload=workload,
            model_name=model.saved_name,
            source=ModelSource(model.config, model.folder, workload.seed, workload.dtype),
            tokenizer=self._inputs.tokenizer(model)[0],
            requests=self._inputs.requests(workload, chosen.layout.world_size),
            engine_version=limits.version if limits is not None else None,
            model_content=model.content,
        )
