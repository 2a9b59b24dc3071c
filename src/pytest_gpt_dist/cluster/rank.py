"""What code that runs in a rank may ask and say: who am I, and how far have I come."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PROGRESS_INTERVAL_S = 0.1
"""Reports of one stage that follow each other faster are dropped: a busy controller slows the ranks."""


@dataclass(frozen=True, slots=True)
class RankInfo:
    """One rank's place in its group and what it owns.

    `device` is "cpu" or "cuda:<index>", `backend` "gloo" or "nccl". `staged` says that tensors on the
    device travel through host memory. `cpus` are the cores that the rank may run on, `threads` its intra-op
    threads; `oversubscribed` says that the group wants more cores than there are. A collective that nobody
    joins gives up after `collective_timeout_s`, which is longer than the controller's patience, so that the
    controller speaks first.
    """

    rank: int
    world_size: int
    device: str
    backend: str
    staged: bool
    threads: int
    cpus: tuple[int, ...]
    oversubscribed: bool
    collective_timeout_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rank has come: `done` of `total` units of a stage ("loading"); total 0 is unknown."""

    stage: str
    done: int = 0
    total: int = 0


class Reporter:
    """Sends progress to the controller, thinned out in time but never losing the end of a stage."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send = send
        self._stage = ""
        self._sent_at_s = float("-inf")

    def report(self, progress: Progress) -> None:
        """Send it, unless the one before it was of the same stage and sent just now."""
        now_s = time.monotonic()
        finished = 0 < progress.total == progress.done
        if progress.stage == self._stage and not finished and now_s - self._sent_at_s < PROGRESS_INTERVAL_S:
            return
        self._stage, self._sent_at_s = progress.stage, now_s
        self._send(progress)


class ImportsAreProgress:
    """A finder of modules that finds none: each module that is looked for counts as progress.

    On a busy machine, or from a cold network disk, importing torch or transformers takes longer than a silence may.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Report, and leave the module to the other finders."""
        self._reporter.report(Progress("importing"))


@contextmanager
def reported_imports(send: Callable[[Progress], None]) -> Iterator[None]:
    """Have a controller that waits hear of every import."""
    finder = ImportsAreProgress(Reporter(send))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


_info: RankInfo | None = None
_reporter: Reporter | None = None


def become(info: RankInfo, send: Callable[[Progress], None]) -> None:
    """Make this process the rank that `info` describes; called once by whatever started it."""
    global _info, _reporter
    _info, _reporter = info, Reporter(send)
    sys.meta_path.insert(0, ImportsAreProgress(_reporter))


def this_rank() -> RankInfo:
    """Return what this process is in its group; RuntimeError outside a rank."""
    if _info is None:
        raise RuntimeError("this process is not a rank: call it from a function given to RankGroup.run")
    return _info


def meet() -> None:
    """Meet every other rank in a barrier."""
    import torch.distributed as dist  # noqa: PLC0415  the controller, which sends this here, does without torch

    dist.barrier()


def report_progress(stage: str, done: int = 0, total: int = 0) -> None:
    """Tell the controller how far this rank has come; also what keeps a busy rank from counting as silent."""
    if _reporter is None:
        raise RuntimeError("this process is not a rank: call it from a function given to RankGroup.run")
    _reporter.report(Progress(stage, done, total))
