"""What went wrong in a rank group, put so that its reader knows where to look. Pure text."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.cluster.messages import Raised
from pytest_gpt_dist.cluster.rank import Progress
from pytest_gpt_dist.errors import counted

Kind = Literal["exception", "death", "silence", "memory", "start"]


@dataclass(frozen=True, slots=True)
class Died:
    """The process ended; `status` is negative for the signal that killed it.

    `oom_killer_struck`: the kernel's out-of-memory killer was at work meanwhile; `limit_bytes`: how much memory
    control groups leave this process and its ranks, None where that is no less than the machine has.
    """

    status: int
    oom_killer_struck: bool = False
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The rank's machine cannot be reached any more, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The rank closed its line to the controller, and lived on."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing came from the rank for `silence_s`."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The rank was at work when another one failed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The rank had returned its result."""


Outcome = Raised | Died | Lost | HungUp | Silent | Unfinished | Finished


@dataclass(frozen=True, slots=True)
class RankReport:
    """One rank's part in a failure.

    `where` is its place in the layout, `machine` the name of its machine, "" of this one, `process` what the kernel
    said it was doing, `progress` what it last said itself, `stack` what its threads were doing, `output` the end of
    what it printed.
    """

    rank: int
    pid: int
    outcome: Outcome
    where: str = ""
    machine: str = ""
    process: str = ""
    progress: Progress | None = None
    stack: str = ""
    output: str = ""


class RankGroupError(Exception):
    """A group of ranks failed and was killed; str() is the whole report.

    `kind` says how, `ranks` which ranks are to blame (none when the group as a whole failed), `reports`
    holds what is known of each rank.
    """

    def __init__(
        self,
        kind: Kind,
        ranks: Sequence[int],
        summary: str,
        reports: Sequence[RankReport] = (),
        logs: str = "",
    ) -> None:
        self.kind = kind
        self.ranks = tuple(ranks)
        self.reports = tuple(reports)
        super().__init__(_report(summary, self.reports, logs))


def group_failure(
    reports: Sequence[RankReport],
    order: Sequence[int],
    *,
    starting: bool = False,
    unmet: Sequence[object] = (),
    memory_limit_bytes: int | None = None,
    logs: str = "",
) -> RankGroupError:
    """Return the error of a group whose ranks ended as `reports` say; `order` is that in which ranks failed.

    The first rank that died or raised is to blame; one that only noticed that another went away is to blame
    if nobody else is; ranks that were silent are to blame if nobody failed. `unmet` says what ranks that could not
    start would have needed.
    """
    by_rank = {report.rank: report for report in reports}
    failed = [by_rank[rank] for rank in order]
    first = next(
        (report for report in failed if not _only_noticed(report.outcome)), failed[0] if failed else None
    )
    if first is not None:
        kind, what = _blame(first.outcome, memory_limit_bytes)
        ranks: tuple[int, ...] = (first.rank,)
        summary = f"{_name(first)} {what}"
    else:
        silent = [report for report in reports if isinstance(report.outcome, Silent)]
        ranks = tuple(report.rank for report in silent)
        longest_s = max(r.outcome.silence_s for r in silent if isinstance(r.outcome, Silent))
        kind, verb = "silence", "was" if len(silent) == 1 else "were"
        summary = f"{', '.join(map(_name, silent))} {verb} silent for {longest_s:.1f} s"
    if starting:
        kind, summary = "start", could_not_start(len(reports), summary, unmet)
    return RankGroupError(kind, ranks, summary, reports, logs)


def could_not_start(world_size: int, why: str, unmet: Sequence[object] = (), said: str = "") -> str:
    """Return the line about a group that did not come to be: why, and what of this machine was in its way.

    Below it stands what was said by whoever was to start it.
    """
    return and_said(
        f"{counted(world_size, 'rank')} could not start: {'; '.join([why, *map(str, unmet)])}", said
    )


def and_said(summary: str, said: str) -> str:
    """Return a line, with what somebody printed below it, if anything."""
    return f"{summary}; it said:\n{said}" if said else summary


def killed_for_memory(limit_bytes: int | None) -> str:
    """Return what happened to a process that the kernel ended for want of memory, where that is limited so."""
    killed = "was killed by SIGKILL while the kernel's out-of-memory killer was at work"
    if limit_bytes is None:
        return f"{killed} on this machine"
    return f"{killed}: the memory limit of this container or service is {human_bytes(limit_bytes)}"


def less_memory(memory_limit_bytes: int | None) -> str:
    """Return what to do where memory is short; `memory_limit_bytes` is the configuration's."""
    advice = "lower the batch size, the prompt or new tokens or the dtype, or use more devices"
    if memory_limit_bytes is not None:
        advice += f", or raise --gpt-memory-limit (now {human_bytes(memory_limit_bytes)})"
    return advice


def bytes_wanted(message: str) -> int | None:
    """Return how many bytes the message of a failed allocation says were wanted; None when it does not say.

    Read from the messages of torch's CPU and CUDA allocators and of numpy.
    """
    found = re.search(r"(?:[Tt]ried to allocate|Unable to allocate) ([0-9.]+) ?(bytes|[KMGTPE]iB)", message)
    if found is None:
        return None
    number, unit = found.groups()
    if unit == "bytes":
        return int(float(number))
    return int(float(number) * 1024 ** (1 + "KMGTPE".index(unit[0])))


def human_bytes(count: int) -> str:
    """Return a number of bytes as people write it: "512 bytes", "1.50 GiB"."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{amount:.2f} {unit}"


def _only_noticed(outcome: Outcome) -> bool:
    return isinstance(outcome, Raised) and outcome.from_communication


def _blame(outcome: Outcome, memory_limit_bytes: int | None) -> tuple[Kind, str]:
    match outcome:
        case Raised(out_of_memory=True):
            wanted = bytes_wanted(outcome.traceback)
            how_much = "" if wanted is None else f": it wanted {human_bytes(wanted)} more"
            return "memory", f"ran out of memory{how_much}; {less_memory(memory_limit_bytes)}"
        case Raised():
            return "exception", f"raised {outcome.summary}"
        case Died(oom_killer_struck=True) if outcome.status == -signal.SIGKILL:
            return "memory", f"{_died(outcome)}; {less_memory(memory_limit_bytes)}"
        case Died():
            return "death", _died(outcome)
        case Lost():
            return "death", _lost(outcome)
        case HungUp():
            return "death", "closed its line to the controller"
        case _:
            raise ValueError(f"{outcome!r} is no failure")


def _died(outcome: Died) -> str:
    if outcome.status >= 0:
        return f"ended with exit status {outcome.status} before it returned"
    name = signal.Signals(-outcome.status).name
    if name == "SIGKILL" and outcome.oom_killer_struck:
        return killed_for_memory(outcome.limit_bytes)
    perhaps = ", perhaps by the kernel's out-of-memory killer" if name == "SIGKILL" else ""
    return f"was killed by {name}{perhaps}"


def _lost(outcome: Lost) -> str:
    return f"was lost with its machine: {outcome.reason}"


def _name(report: RankReport) -> str:
    if place := ", ".join(filter(None, (report.where, report.machine))):
        return f"rank {report.rank} ({place})"
    return f"rank {report.rank}"


def _report(summary: str, reports: Sequence[RankReport], logs: str) -> str:
    lines = [summary]
    if logs:
        lines.append(f"all that the ranks printed: {logs}")
    for report in reports:
        lines += ["", f"--- {_name(report)}, pid {report.pid}: {_state(report)}"]
        if isinstance(report.outcome, Raised):
            lines.append(report.outcome.traceback.rstrip())
        if report.stack:
            lines += ["stack:", _shorten(report.stack)]
        if report.output:
            lines += ["output ends with:", report.output.rstrip()]
    return "\n".join(lines)


def _state(report: RankReport) -> str:
    match report.outcome:
        case Raised(summary=summary):
            return f"raised {summary}"
        case Died() as died:
            return _died(died)
        case Lost() as lost:
            return _lost(lost)
        case HungUp():
            state = "closed its line to the controller"
        case Silent(silence_s=silence_s):
            state = f"silent for {silence_s:.1f} s"
        case Unfinished():
            state = "still at work"
        case Finished():
            return "had finished"
    if report.progress is not None:
        state += f" after {_said(report.progress)}"
    return f"{state}, {report.process}" if report.process else state


def _said(progress: Progress) -> str:
    return f'"{progress.stage}"' + (f" {progress.done} of {progress.total}" if progress.total else "")


_BELOW_THE_FUNCTION = re.compile(
    r'  File ".*/pytest_gpt_dist/cluster/(worker|rank_main|server|local/(fork_server|__main__))\.py"'
    r'|  File "<frozen runpy>"'
)


def _shorten(stack: str) -> str:
    """Leave out of a stack what every rank's begins with, and what faulthandler says about modules."""
    lines = stack.splitlines()
    return "\n".join(
        line
        for line in lines
        if not _BELOW_THE_FUNCTION.match(line) and not line.startswith("Extension modules:")
    ).strip()
