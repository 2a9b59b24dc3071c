"""What ranks report while they work, as a line for people."""

from __future__ import annotations

from collections.abc import Callable

from pytest_gpt_dist.cluster import Progress


def shown(status: Callable[[str], None]) -> Callable[[int, Progress], None]:
    """Return a listener that shows the first rank's progress as a status line."""

    def show(rank: int, progress: Progress) -> None:
        if rank == 0:
            status(_progress_text(progress))

    return show


def _progress_text(progress: Progress) -> str:
    if not progress.total:
        return f"{progress.stage} {progress.done}" if progress.done else progress.stage
    if progress.stage == "loading":
        return f"loading {progress.done / progress.total:.0%}"
    return f"{progress.stage} {progress.done} of {progress.total}"
