"""How long a newcomer waits: `make bench` from a bare clone, and how much of that are the nine cases."""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from pytest_gpt_dist.host.machine import cpu_name

REPOSITORY = Path(__file__).parents[1]
DEADLINE_S = 1800


def main() -> None:
    """Clone the last commit into a new folder, run the command there, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="write the figures to this file, too")
    output: Path | None = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), folder], check=True, timeout=DEADLINE_S)
        start_s = time.perf_counter()
        done = subprocess.run(
            ["make", "bench"], cwd=folder, check=True, capture_output=True, text=True, timeout=DEADLINE_S
        )
        total_s = time.perf_counter() - start_s
    match = re.search(r"(\d+) passed in ([\d.]+)s", done.stdout)
    if match is None:
        raise SystemExit(f"make bench printed no summary:\n{done.stdout}")
    figures = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores",
        "cases": int(match[1]),
        "make_bench_s": round(total_s, 1),
        "cases_s": float(match[2]),
    }
    print(json.dumps(figures, indent=2))
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
