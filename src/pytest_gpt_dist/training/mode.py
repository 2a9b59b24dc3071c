"""Training as a mode: what it checks, what its ranks run, and what comes of their reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.cluster import RankGroup
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.entry_points import run_job
from pytest_gpt_dist.measure.mode import ModeContext, Status
from pytest_gpt_dist.measure.progress import shown
from pytest_gpt_dist.measure.result import Launch, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.telemetry.summary import Telemetry
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.cases import TrainingCases
from pytest_gpt_dist.training.exactness.certificate import Certified, certificate_case, certified
from pytest_gpt_dist.training.exactness.reference_cache import ReferenceCache
from pytest_gpt_dist.training.measured import Measured, StepRound
from pytest_gpt_dist.training.messages import TrainingJob, TrainingReference, TrainingReport
from pytest_gpt_dist.training.result import TrainingResult
from pytest_gpt_dist.training.result_format import TRAINING

_ON_RANKS = "pytest_gpt_dist.training.worker:run_case"


@dataclass(frozen=True)
class Checked:
    """What a case is checked against: None where no process holds the model; the error of its certificate.

    ``is_exact`` is false where gradients are inexact by intent.
    """

    reference: TrainingReference | None
    certificate_error: float | None
    is_exact: bool = True
    caveats: tuple[str, ...] = ()


class TrainingMode:
    """Training steps, checked against one process."""

    format = TRAINING
    preload = (
        "torch._dynamo",  # which torch's optimizers import when the first one is made
        "transformers.models.gpt2.modeling_gpt2",
        "transformers.models.llama.modeling_llama",
        "transformers.models.qwen3.modeling_qwen3",
        "pytest_gpt_dist.training.worker",
        "pytest_gpt_dist.training.data_parallel",
        "pytest_gpt_dist.training.fully_sharded",
        "pytest_gpt_dist.training.pipeline",
        "pytest_gpt_dist.training.exactness.compute_reference",
    )

    def __init__(self, context: ModeContext) -> None:
        self.cases = TrainingCases(context)
        self._context = context
        self._references = ReferenceCache(context.scratch)
        self._certificates: dict[Certified, float] = {}

    def check(self, case: TrainingCase, status: Status) -> Checked:
        """Train on one process, and certify the strategy by a tiny model in float64, each once a session."""
        status("starting ranks")
        certificate = None if case.dtype == "float64" or case.gpus == 1 else self._certified(case, status)
        return Checked(self._reference(case, status), certificate, case.is_exact, self._doubts(case))

    def _reference(self, case: TrainingCase, status: Status) -> TrainingReference | None:
        return self._references.get(case.work, case.batches, self._one_rank, shown(status))

    def _certified(self, case: TrainingCase, status: Status) -> float:
        """Return the error of the strategy's certificate; WrongResultError where it has none."""
        tiny = certificate_case(case)
        key = certified(tiny)
        if key not in self._certificates:
            job = _job(tiny, self._reference(tiny, status), None)
            group = self._context.groups.group(case.gpus)
            status("certifying in float64")
            reports: list[TrainingReport] = group.run(
                run_job, _ON_RANKS, job, on_progress=shown(status), where=case.layout.where
            )
            for report in reports:
                if report.problem is not None:
                    raise WrongResultError(f"in float64, with a tiny model: {report.problem}")
            self._certificates[key] = max(report.gradient_error or 0.0 for report in reports)
        return self._certificates[key]

    def _one_rank(self) -> RankGroup:
        return self._context.groups.group(1)

    def job(self, case: TrainingCase, checked: Checked, timing: Timing | None) -> tuple[str, TrainingJob]:
        """Return what each rank divides, checks, trains and times."""
        return _ON_RANKS, _job(case, checked.reference, timing)

    def launched(self, case: TrainingCase, checked: Checked, reports: Sequence[TrainingReport]) -> Launch:
        """Return the steps that ranks report, once they are found to be those of one process."""
        problem = next((report.problem for report in reports if report.problem is not None), None)
        if problem is not None:
            raise WrongResultError(problem)
        steps = zip(*(report.rounds for report in reports), strict=True)
        rounds = tuple(StepRound.of(ranks) for ranks in steps)
        first = reports[0]
        output = {"losses": list(first.losses), "grad_norms": list(first.norms)}
        return Launch(tuple(reports), rounds, output, None)

    def samples(self, case: TrainingCase, launch: Launch) -> list[float]:
        """Return the seconds per label token of each step."""
        return [round.seconds / round.labels for round in launch.rounds]

    def figures(
        self,
        case: TrainingCase,
        checked: Checked,
        launches: Sequence[Launch],
        limits: Sequence[DeviceLimits],
        telemetry: Telemetry | None,
    ) -> Mapping[str, object]:
        """Return every metric that has its own way of being computed."""
        options = self._context.options
        run = Measured(
            case,
            self._context.machine,
            launches,
            limits,
            telemetry,
            checked.certificate_error,
            options.price,
            options.train_tokens,
        )
        figures = {
            metric.name: metric.value(run) for metric in self.format.metrics if metric.value is not None
        }
        return figures | {
            "time_lost": run.time_lost,
            "matches_reference": True if checked.reference is not None and checked.is_exact else None,
        }

    def caveats(self, checked: Checked) -> list[str]:
        """Return what a reader of the numbers has to know."""
        return list(checked.caveats)

    def _doubts(self, case: TrainingCase) -> tuple[str, ...]:
        tuning, on_cpu = case.work.tuning, self._context.machine.device == "cpu"
        found = []
        if not case.is_exact:
            found.append(f"inexact by intent: gradients are sent by {tuning.compression}")
        if on_cpu and tuning.cpu_offload != "none" and case.gpus > 1:
            found.append("cpu-offload: on a CPU it offloads nothing")
        if on_cpu and tuning.activation_offload:
            found.append("activation-offload: on a CPU it copies activations and frees nothing")
        return tuple(found)

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return nothing: the mode has no doubts of its own."""
        return []

    def result(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> TrainingResult:
        """Return the result that these entries, losses and norms make."""
        return TrainingResult.of(info, output, samples)


def _job(case: TrainingCase, reference: TrainingReference | None, timing: Timing | None) -> TrainingJob:
    return TrainingJob(case.divider, case.plan, case.work, case.batches, reference, timing)
