"""Cases of training, as options and tests ask for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pytest_gpt_dist.config.sections import DEGREES, MATRIX
from pytest_gpt_dist.config.settings import check_argument
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.matrix import DEFAULT_ENGINE, MatrixCase, matrix
from pytest_gpt_dist.measure.mode import ModeContext
from pytest_gpt_dist.model.catalog import ResolvedModel, needs_hub, resolve
from pytest_gpt_dist.parallel.chosen_layout import ChosenLayout, choose_layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.strategy import plan_of
from pytest_gpt_dist.registry import Registry, unknown
from pytest_gpt_dist.training.batches import BatchPlan, Samples, given_samples, plan_batches
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.fingerprint import fingerprint
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.model_parallel_strategies import Pipeline1F1B, TensorDataHybrid
from pytest_gpt_dist.training.strategies import WHOLE, Ddp
from pytest_gpt_dist.training.strategy import TrainingStrategy
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel
from pytest_gpt_dist.training.tuning import lacking
from pytest_gpt_dist.training.workload import ARGUMENTS, TrainingWorkload, asked_workload

ENGINES = (DEFAULT_ENGINE,)


class TrainingStrategies:
    """The registry's strategies of training, where others look for strategies of any kind."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def strategies(self) -> Sequence[str]:
        """Return their names, in the order in which they were added."""
        return self._registry.training_strategies

    def strategy(self, name: str) -> TrainingStrategy:
        """Return the strategy of that name; UsageError where there is none."""
        found: TrainingStrategy = self._registry.training_strategy(name)
        return found


class TrainingCases:
    """Makes cases of training for one session."""

    arguments = (*MATRIX, *DEGREES, *ARGUMENTS)

    def __init__(self, context: ModeContext) -> None:
        self._options = context.options
        self._registry = context.registry
        self._machine = context.machine
        self._strategies = TrainingStrategies(context.registry)
        self._models: dict[tuple[str, str | None], ResolvedModel] = {}

    def case(self, arguments: Mapping[str, Any]) -> TrainingCase:
        """Return the case that arguments describe on top of the options; UsageError for anything wrong in them."""
        for name in DEGREES:
            if arguments.get(name) is not None:
                check_argument(name, arguments[name])
        workload = asked_workload(arguments, self._usual)
        chosen = choose_layout(arguments, self._options, self._strategies)
        engine = DEFAULT_ENGINE if arguments.get("engine") is None else arguments["engine"]
        if engine not in ENGINES:
            raise unknown("engine of training", str(engine), ENGINES)
        return self._resolved(workload, chosen, engine)

    def alone(self, case: TrainingCase) -> TrainingCase:
        """Return the one-device case of the same engine and workload."""
        chosen = ChosenLayout(Ddp.name, Ddp().plan(1))
        return self._resolved(case.workload, chosen, case.engine)

    def lacks(self, case: TrainingCase) -> str | None:
        """Return in a line what of the workload its strategy's library cannot do; what cannot be divided was said."""
        return lacking(case.work.tuning, case.plan, case.dtype, case.work.bucket_mb)

    def fingerprint(self, case: TrainingCase) -> Mapping[str, Any]:
        """Return everything besides the code under test that changes the case's numbers, as it is saved."""
        return fingerprint(case, self._machine)

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str] = ()) -> list[MatrixCase]:
        """Return the matrix of a test that gives ``arguments`` itself, and ``own`` ones in another part of its id.

        A strategy that has no plan for a device count has no case there.
        """
        try:
            workload = asked_workload(arguments, self._usual)
        except UsageError:  # said by the test when it runs
            workload = self._usual
        device = self._machine.device
        label = workload.without(own, device).label(device, self._saved_name(workload))
        cases = matrix(self._options, self._strategies.strategies, label)
        return [each for each in cases if each.engine in ENGINES and self._has_plan(each)]

    def check_options(self, *, collect_only: bool = False) -> None:
        """Find what is wrong with the options before anything starts; UsageError in one line."""
        workload = self._usual
        if collect_only and needs_hub(workload.model, self._registry, workload.weights):
            return
        self._samples(workload, self._model(workload), plan_batches(workload.micro_batch_size, 1, None, 1))
        for each in matrix(self._options, self._strategies.strategies):
            if each.engine in ENGINES and self._has_plan(each) and self._machine.lacks(each.gpus) is None:
                self.case({"gpus": each.gpus, "strategy": each.strategy})

    @property
    def _usual(self) -> TrainingWorkload:
        """The training that the options describe."""
        return TrainingWorkload.of(self._options, self._machine.device)

    def _has_plan(self, case: MatrixCase) -> bool:
        if case.strategy not in self._strategies.strategies:
            return True  # degrees that were given outright
        with suppress(UsageError):
            plan_of(self._strategies.strategy(case.strategy), case.gpus)
            return True
        return False

    def _resolved(self, workload: TrainingWorkload, chosen: ChosenLayout, engine: str) -> TrainingCase:
        model = self._model(workload)
        divider, plan = self._divided(chosen)
        batches = plan_batches(
            workload.micro_batch_size,
            workload.grad_accumulation,
            workload.global_batch_size,
            plan.layout.dp,
            at_least=plan.layout.pp,
        )
        work = TrainingWork(
            TrainedModel(model.config, model.folder, workload.seed),
            self._samples(workload, model, batches),
            workload.recipe,
            workload.dtype,
            workload.activation_checkpointing,
            workload.bucket_mb,
            workload.tuning,
        )
        return TrainingCase(
            strategy=chosen.strategy,
            plan=plan,
            degenerate=chosen.degenerate,
            engine=engine,
            divider=divider,
            workload=workload,
            work=work,
            batches=batches,
            model_name=model.saved_name,
            model_content=model.content,
        )

    def _divided(self, chosen: ChosenLayout) -> tuple[str, ParallelPlan]:
        """Return what carries out a plan, and the plan; on a single device nothing stands around the model.

        Degrees that were given outright are replicas of stages, which 1F1B lines up, of tensor-parallel shares.
        """
        plan = chosen.plan
        if plan.world_size == 1:
            return WHOLE, plan
        if chosen.strategy in self._strategies.strategies:
            return self._strategies.strategy(chosen.strategy).divider, plan
        if plan.layout.pp > 1:
            return Pipeline1F1B.divider, replace(plan, schedule=Pipeline1F1B.schedule.name)
        return (TensorDataHybrid if plan.layout.tp > 1 else Ddp).divider, plan

    def _model(self, workload: TrainingWorkload) -> ResolvedModel:
        key = (workload.model, workload.weights)
        if key not in self._models:
            self._models[key] = resolve(
                workload.model, self._registry, workload.weights, offline=self._options.offline
            )
        return self._models[key]

    def _samples(
        self, workload: TrainingWorkload, model: ResolvedModel, batches: BatchPlan
    ) -> Samples | SyntheticSamples:
        size = model.config.dimensions
        if workload.samples is not None:
            return given_samples(workload.samples, size.vocabulary, size.positions)
        if workload.sequence_length > size.positions:
            raise UsageError(
                f"rows of {workload.sequence_length} tokens do not fit {workload.model}'s context of"
                f" {size.positions}; lower --gpt-train-sequence-length"
            )
        return SyntheticSamples(workload.seed, size.vocabulary, workload.sequence_length, batches.rows)

    def _saved_name(self, workload: TrainingWorkload) -> str | None:
        """Return what a model is called that is given by a path; None for others, and for what cannot be read."""
        with suppress(UsageError):
            if not needs_hub(workload.model, self._registry, workload.weights):
                model = self._model(workload)
                return None if model.path is None else model.saved_name
        return None
