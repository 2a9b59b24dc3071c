"""Generation as a mode: what it checks, what its ranks run, and what comes of their reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_gpt_dist.cluster import Progress, RankGroup
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.inference.batching import prompts_in_parts
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.cases import CaseBuilder
from pytest_gpt_dist.inference.checks import (
    check_counts,
    check_marks,
    check_tokens,
    in_prompt_order,
    world_rounds,
)
from pytest_gpt_dist.inference.entry_points import run_case
from pytest_gpt_dist.inference.exactness.reference_cache import Reference, References
from pytest_gpt_dist.inference.exactness.tolerance import EXACT_TOKENS
from pytest_gpt_dist.inference.messages import CaseJob, RankReport
from pytest_gpt_dist.inference.metrics import seconds_per_token, speed
from pytest_gpt_dist.inference.result import GenerationResult, make_result, marks
from pytest_gpt_dist.inference.weight_cache_policy import Keeping
from pytest_gpt_dist.measure.mode import ModeContext, Status
from pytest_gpt_dist.measure.progress import shown
from pytest_gpt_dist.measure.result import Launch, WrongResultError
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.measure.statistics import launch_datum
from pytest_gpt_dist.results.heading import series


@dataclass(frozen=True)
class Checked:
    """What a case is checked against: None where no device holds the model; ``compared`` with transformers."""

    reference: Reference | None
    compared: bool


class InferenceMode:
    """Generation of tokens, checked against one device."""

    name = "inference"
    compared = (
        *("tokens_per_s", "latency_s", "ttft_s", "tpot_s", "itl_s"),
        *("peak_memory_bytes", "max_logit_error", "tokens_sha256", "marks", "launches"),
    )

    def __init__(self, context: ModeContext) -> None:
        self.cases = CaseBuilder(context)
        self._context = context
        self._machine = context.machine

    @cached_property
    def _keeping(self) -> Keeping:
        """Made for the first case that runs, when the number of cases is known."""
        context = self._context
        return Keeping(
            context.scratch, context.machine.device, cases=context.case_count(), paired=context.paired
        )

    @cached_property
    def _references(self) -> References:
        return References(self._context.scratch, self._keeping)

    def check(self, case: Case, status: Status) -> Checked:
        """Compute the one-device reference of a case's prompts, once a session on one rank."""
        status("starting ranks")
        on_progress: Callable[[int, Progress], None] = shown(status)
        reference = self._references.get(case.source, case.requests, self._one_rank, on_progress)
        compared = reference is None or self._references.compare_with_transformers(
            case.source, reference, case.requests[0], self._one_rank, on_progress
        )
        return Checked(reference, compared)

    def _one_rank(self) -> RankGroup:
        return self._context.groups.group(1)

    def job(
        self, case: Case, checked: Checked, timing: Timing | None
    ) -> tuple[Callable[[CaseJob], RankReport], CaseJob]:
        """Return what each rank loads, checks, generates and times."""
        reference = checked.reference
        return run_case, CaseJob(
            engine=case.engine_path,
            source=self._keeping.for_launch(case.source, case.layout, timing.launches if timing else 1),
            layout=case.layout,
            batches=prompts_in_parts(case.batches, case.layout, self._machine.device),
            sampling=case.workload.sampling,
            check=reference.check if reference else None,
            timing=timing,
            attention=self._machine.attention,
        )

    def launched(self, case: Case, checked: Checked, reports: Sequence[RankReport]) -> Launch:
        """Return the rounds and tokens that ranks report, once they are found to be what was asked for."""
        problem = next((report.problem for report in reports if report.problem is not None), None)
        if problem is not None:
            raise WrongResultError(problem)
        if case.dtype in EXACT_TOKENS and any(report.tokens_vary for report in reports):
            raise WrongResultError(f"rounds generated different tokens, which {case.dtype} does not explain")
        rounds = world_rounds(case, reports)
        check_marks(case, rounds)
        tokens = in_prompt_order(case, reports)
        check_counts(case, tokens)
        if checked.reference is not None:
            check_tokens(case, checked.reference, tokens)
        return Launch(tuple(reports), tuple(rounds), tokens, None)

    def result(
        self,
        case: Case,
        checked: Checked,
        launches: Sequence[Launch],
        *,
        warmup: int,
        limits: Sequence[DeviceLimits],
        keep_series: bool,
    ) -> GenerationResult:
        """Put together what the launches gave."""
        result = make_result(
            case,
            self._machine,
            launches,
            checked=checked.reference is not None,
            warmup=warmup,
            limits=limits,
            keep_series=keep_series,
        )
        if checked.compared:
            return result
        return result.marked("reference not compared with transformers: no memory")

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return what makes the numbers of launches doubtful."""
        return marks(launches)

    def gated_figures(self, case: Case, launch: Launch) -> Mapping[str, float | None]:
        """Return one number a launch of each metric that an A/B compares."""
        found = speed(launch.rounds, case.requests, case.gpus)
        peaks = [report.peak_memory_bytes for report in launch.reports]
        return {
            "seconds_per_token": launch_datum(
                seconds_per_token([round.seconds for round in launch.rounds], case.requests)
            ),
            "ttft_s": float(found.ttft_s),
            "itl_p95_s": None if found.itl_s is None else found.itl_s.p95,
            "peak_memory_bytes": max((peak for peak in peaks if peak is not None), default=None),
        }

    def series(self, test: str, info: Mapping[str, Any]) -> str:
        """Return the name under which a tracker keeps the saved numbers of a test's case over time."""
        return series(test, info)

    def restored(self, info: dict[str, Any], output: list[list[int]]) -> GenerationResult:
        """Return the result that was saved so, marked as resumed. KeyError or TypeError if it was none."""
        return GenerationResult.from_saved(info, output)
