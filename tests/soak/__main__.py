"""A soak: real sessions with faults from a seed, and what came of each.

python -m soak --faults 60 --seed 0
python -m soak --faults 60 --seed 0 --only 17     # that one again
python -m soak --kind "journal|server"            # each of these kinds, once
"""

import argparse
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from soak.faults import KINDS, choose, in_sessions
from soak.hosting import AS_ROOT, host, undisturbed


def main() -> int:
    """Run what was asked for; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description="Real sessions with injected faults.")
    parser.add_argument("--faults", type=int, default=60, help="how many (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: 0)")
    parser.add_argument("--only", type=int, help="only the session that hosts the fault of this number")
    parser.add_argument("--kind", help="each kind of fault whose name matches this expression, once")
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if AS_ROOT or not kind.as_root]
    if arguments.kind is not None:
        kinds = [kind for kind in kinds if re.search(arguments.kind, kind.name)]
    faults = choose(arguments.seed, len(kinds) if arguments.kind else arguments.faults, kinds)
    began_s = time.monotonic()
    # Whoever starts this in the background has SIGINT ignored, and sessions would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with the session that runs
    folder = Path(tempfile.mkdtemp(prefix="gpt-dist-soak-"))
    truth, patience = undisturbed(folder / "undisturbed")
    print(f"undisturbed: {patience.undisturbed_s:.1f} s, in {folder}", flush=True)
    if not AS_ROOT:
        print("faults of disks and networks are left out: they need root", flush=True)
    rows = []
    for hosted in in_sessions(faults):
        if arguments.only not in (None, *(fault.number for fault in hosted)):
            continue
        place, host_began_s = folder / f"fault{hosted[0].number}", time.monotonic()
        findings = host(place, hosted, truth, patience)
        took_s = time.monotonic() - host_began_s
        for fault in hosted:
            problem = "; ".join(findings.of(fault))
            print(f"{fault.number:3}  {fault}  {took_s:.0f} s  {problem or 'right'}", flush=True)
            rows.append((fault.number, str(fault), problem))
        if not findings.problems:
            for path in folder.glob(f"{place.name}*"):
                shutil.rmtree(path, ignore_errors=True)
    wrong = [row for row in rows if row[2]]
    if wrong:
        print(tabulate(wrong, headers=("fault", "what", "problem"), maxcolwidths=[None, 40, 100]))
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{len(rows) - len(wrong)} of {len(rows)} faults with nothing wrong, lost or left"
        f" (seed {arguments.seed}, {time.monotonic() - began_s:.0f} s)"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
