"""The files that ranks print into and write their stacks into, as the controller keeps and reads them.

None of this fails where the files are gone, or the disk is full: it is done when something else has failed.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_gpt_dist.cluster.deadline import Deadline
from pytest_gpt_dist.errors import UsageError

_log = logging.getLogger(__name__)

TAIL_BYTES = 4000
_LOOK_AGAIN_S = 0.05


def new_folder(parent: Path, world_size: int) -> Path:
    """Make a folder for the files of one group; UsageError where that is impossible."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{world_size}ranks-", dir=parent))
    except OSError as error:
        raise UsageError(f"{parent}: the output of ranks cannot be kept there ({error.strerror})") from None


def keep(folder: Path) -> Path | None:
    """Move a folder out of the scratch space, which will be removed; None where there is nothing in it to keep."""
    kept = None
    try:
        if not any(file.stat().st_size for file in folder.iterdir()):
            return None
        kept = Path(tempfile.mkdtemp(prefix="gpt-dist-failed-"))
        return Path(shutil.move(folder, kept))
    except OSError as error:
        _log.info("what ranks printed could not be kept: %s", error)
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)
        return None


def remove_if_empty(file: Path) -> None:
    """Remove a file that nothing was written into."""
    with suppress(OSError):
        if file.stat().st_size == 0:
            file.unlink()


def tail(path: Path) -> str:
    """Return the end of a text file, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def wait_for_stacks(paths: Sequence[Path], deadline: Deadline) -> None:
    """Wait until every file has content and has stopped growing; a stopped rank never writes any."""
    before: list[int] = []
    while left_s := deadline.left_s():
        sizes = [_size(path) for path in paths]
        if sizes == before and all(sizes):
            return
        before = sizes
        time.sleep(min(_LOOK_AGAIN_S, left_s))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
