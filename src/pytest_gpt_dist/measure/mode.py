"""The seam between what is measured and how: a mode says what a case is, the core runs, watches and repeats it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pytest_gpt_dist.cluster import OWN, RankGroup, Side
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.result import Launch, Result
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.parallel import Layout

Status = Callable[[str], None]
"""Shows what is done now."""


class Groups(Protocol):
    """Hands out the live group of a world size."""

    def group(self, world_size: int) -> RankGroup:
        """Return a group of that many ranks, started if there is none."""
        ...

    def renew(self, side: Side = OWN) -> None:
        """End every group and its server; the next one has new processes, of that side, from a new server."""
        ...


class CaseSpec(Protocol):
    """What the core must know of a case, whatever its mode."""

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


CaseT_contra = TypeVar("CaseT_contra", bound=CaseSpec, contravariant=True)
CheckedT = TypeVar("CheckedT")


class Mode(Protocol[CaseT_contra, CheckedT]):
    """What is measured: it makes the work of a case, checks it, and names its figures."""

    @property
    def name(self) -> str:
        """Return the name that results carry."""
        ...

    def check(self, case: CaseT_contra, status: Status) -> CheckedT:
        """Compute what the case is checked against, once a session. WrongResultError where that itself is wrong."""
        ...

    def job(
        self, case: CaseT_contra, checked: CheckedT, timing: Timing | None
    ) -> tuple[Callable[[Any], Any], Any]:
        """Return the function that every rank of a launch runs, and its argument; ``timing`` None runs it once.

        What it returns has ``timed_span_s``: when timed rounds began and ended, on the host's monotonic clock.
        """
        ...

    def launched(self, case: CaseT_contra, checked: CheckedT, reports: Sequence[Any]) -> Launch:
        """Return what the ranks' reports came to. WrongResultError where the case may have no numbers."""
        ...

    def result(
        self,
        case: CaseT_contra,
        checked: CheckedT,
        launches: Sequence[Launch],
        *,
        warmup: int,
        limits: Sequence[DeviceLimits],
        keep_series: bool,
    ) -> Result:
        """Put together what the launches gave."""
        ...

    def marks(self, launches: Sequence[Launch]) -> list[str]:
        """Return what makes the numbers of launches doubtful."""
        ...

    @property
    def compared(self) -> Sequence[str]:
        """Return the saved entries that an A/B keeps of its other side, too."""
        ...

    def gated_figures(self, case: CaseT_contra, launch: Launch) -> Mapping[str, float | None]:
        """Return one number a launch of each metric that an A/B compares."""
        ...
