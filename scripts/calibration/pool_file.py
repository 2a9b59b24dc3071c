"""The file of a pool of launches: what was measured, on what, and every launch with its rounds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.statistics import require_times

UNIT = "seconds per generated token"


@dataclass(frozen=True)
class PooledLaunch:
    """One launch: its engine, when it began (seconds since 1970), its rounds and their datum, seconds per token.

    ``yardstick`` has the seconds of each piece of its readings, as sessions save them; None in older pools.
    ``neighbour`` says on which core another program worked meanwhile, on purpose; empty without one.
    """

    engine: str
    start_s: float
    datum_s: float
    rounds_s: tuple[float, ...]
    yardstick: dict[str, list[float]] | None = None
    neighbour: str = ""


@dataclass(frozen=True)
class Sitting:
    """A time in which launches were measured without a break, and the machine's load average at both ends.

    ``launches`` were there at its end; a load average is that of one, five and fifteen minutes.
    """

    started: str
    ended: str
    load_before: tuple[float, ...]
    load_after: tuple[float, ...]
    launches: int


@dataclass(frozen=True)
class Setting:
    """What all launches of a pool share, and what must be the same for one that is continued."""

    seed: int
    case: dict[str, Any]
    machine: dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """Launches in the order in which they ran."""

    setting: Setting
    sittings: tuple[Sitting, ...] = ()
    launches: tuple[PooledLaunch, ...] = ()


def write_pool(path: Path, pool: Pool) -> None:
    """Put a pool on disk, written aside and renamed; one line a launch."""
    head = {
        "what": "an interleaved pool of real launches of one case",
        "unit": UNIT,
        **asdict(pool.setting),
        "sittings": [asdict(sitting) for sitting in pool.sittings],
    }
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = _joined(json.dumps(asdict(launch)) for launch in pool.launches)
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8") as file:
        file.write(f'{text},\n "launches": [\n{lines}\n ]\n}}\n')
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def read_pool(path: Path) -> Pool:
    """Read a pool; UsageError, in one line, for a file that is none."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        pool = Pool(
            Setting(saved["seed"], saved["case"], saved["machine"]),
            tuple(Sitting(**sitting) for sitting in saved["sittings"]),
            tuple(
                PooledLaunch(**(launch | {"rounds_s": tuple(launch["rounds_s"])}))
                for launch in saved["launches"]
            ),
        )
        for launch in pool.launches:
            require_times((launch.datum_s, *launch.rounds_s), "launches of a pool")
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise UsageError(f"{path}: no pool of launches can be read from it ({error}): measure one") from error
    return pool


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(f"  {line}" for line in lines)
