"""The seam between what is measured and how: a mode says what a case is, the core runs, watches and repeats it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_gpt_dist.cluster import OWN, RankGroup, Side
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.matrix import MatrixCase
from pytest_gpt_dist.measure.result import Launch, Result
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.results.result_format import ResultFormat
from pytest_gpt_dist.telemetry.summary import Telemetry

Status = Callable[[str], None]
"""Shows what is done now."""


class Groups(Protocol):
    """Hands out the live group of a world size."""

    def group(self, world_size: int) -> RankGroup:
        """Return a group of that many ranks, started if there is none."""
        ...

    def renew(self, side: Side = OWN) -> None:
        """End every rank; the next group has new processes, of that side."""
        ...


@dataclass(frozen=True)
class ModeContext:
    """What a mode is made of: what the session was asked for, and what it lends.

    ``scratch`` gives the folder for what can be made again; ``case_count`` says how many tests run cases, as far as
    that is known by then.
    """

    options: Options
    registry: Registry
    machine: Machine
    groups: Groups
    scratch: Callable[[], Path]
    case_count: Callable[[], int] = lambda: 1

    @property
    def paired(self) -> bool:
        """Return whether each case is measured on two sides."""
        return self.options.against is not None


class CaseSpec(Protocol):
    """What the core must know of a case, whatever its mode; it is hashable, and its text says in a line what it is."""

    @property
    def strategy(self) -> str:
        """Return the name of the rule that gave its layout."""
        ...

    @property
    def degenerate(self) -> str | None:
        """Return the earlier strategy that it is no different from; None where there is none."""
        ...

    @property
    def engine(self) -> str:
        """Return the name of what executes it; a speed-up refers to the same one."""
        ...

    @property
    def layout(self) -> Layout:
        """Return the degrees of its world."""
        ...

    @property
    def gpus(self) -> int:
        """Return the number of its ranks."""
        ...

    @property
    def dtype(self) -> str:
        """Return the number format in which its ranks compute."""
        ...

    @property
    def workload(self) -> Hashable:
        """Return what cases share that a speed-up may refer to."""
        ...


CaseT = TypeVar("CaseT", bound=CaseSpec)
CaseT_contra = TypeVar("CaseT_contra", bound=CaseSpec, contravariant=True)
CheckedT = TypeVar("CheckedT")


class CaseMaker(Protocol[CaseT]):
    """What makes the cases of a mode, of options and of what a test says; nothing of them has run yet.

    Whatever is wrong with either is a UsageError, in one line.
    """

    @property
    def arguments(self) -> Collection[str]:
        """Return the names that a test may give, besides those that every mode has."""
        ...

    def check_options(self, *, collect_only: bool) -> None:
        """Find what is wrong with the options before anything starts; quickly, where tests are only collected."""
        ...

    def matrix(self, arguments: Mapping[str, Any], own: Collection[str]) -> Sequence[MatrixCase]:
        """Return the matrix of a test that gives ``arguments`` itself, and ``own`` ones in another part of its id.

        What is wrong with the arguments is said by the test when it runs.
        """
        ...

    def case(self, arguments: Mapping[str, Any]) -> CaseT:
        """Return the case that arguments describe on top of the options."""
        ...

    def alone(self, case: CaseT) -> CaseT | None:
        """Return the one-device case of the same engine and workload, which a speed-up refers to; None without any."""
        ...

    def lacks(self, case: CaseT) -> str | None:
        """Return in a line why the case cannot run on as many devices as it takes, or None."""
        ...

    def fingerprint(self, case: CaseT) -> Mapping[str, Any]:
        """Return everything besides the code under test that changes the case's numbers, as it is saved."""
        ...


class Mode(Protocol[CaseT_contra, CheckedT]):
    """What is measured: it makes the work of a case, checks it, and names its figures.

    Its factory, which the registry knows by the import path, takes a ModeContext.
    """

    @property
    def preload(self) -> Sequence[str]:
        """Return modules that its ranks import in any case; done once before ranks are forked, each starts sooner."""
        ...

    @property
    def cases(self) -> CaseMaker[Any]:
        """Return what makes its cases."""
        ...

    @property
    def format(self) -> ResultFormat:
        """Return how its results are named, read and shown."""
        ...

    def check(self, case: CaseT_contra, status: Status) -> CheckedT:
        """Compute what the case is checked against, once a session. WrongResultError where that itself is wrong."""
        ...

    def job(self, case: CaseT_contra, checked: CheckedT, timing: Timing | None) -> tuple[str, Any]:
        """Return what every rank of a launch runs, as ``package.module:function``, and the argument that it takes.

        A ``timing`` of None runs the case once. The path is resolved on the ranks, so that each side of an A/B runs
        its own function.

        What it returns has ``timed_span_s``, when timed rounds began and ended on the host's monotonic clock,
        ``yardstick``, the readings beside them, ``peak_memory_bytes``, and ``engine_configuration``.
        """
        ...

    def launched(self, case: CaseT_contra, checked: CheckedT, reports: Sequence[Any]) -> Launch:
        """Return what the ranks' reports came to. WrongResultError where the case may have no numbers."""
        ...

    def samples(self, case: CaseT_contra, launch: Launch) -> list[float]:
        """Return the seconds per unit of work of each round of a launch."""
        ...

    def figures(
        self,
        case: CaseT_contra,
        checked: CheckedT,
        launches: Sequence[Launch],
        limits: Sequence[DeviceLimits],
        telemetry: Telemetry | None,
    ) -> Mapping[str, object]:
        """Return the mode's own entries, by the names of its format; they win over those that all modes have."""
        ...

    def caveats(self, checked: CheckedT) -> list[str]:
        """Return marks on what the case was checked against; none where that is beyond doubt."""
        ...

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return the mode's own reasons to doubt the numbers of launches."""
        ...

    def result(self, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> Result:
        """Return the result that these entries and this output make, measured now or read from a journal.

        KeyError or TypeError where they make none.
        """
        ...
