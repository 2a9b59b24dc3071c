"""How throughput grows with batch size, prompt, new tokens and ranks, beside what the measured limits would give.

    python -m scripts.growth.run --output scripts/results/growth_cpu.json
    python -m scripts.growth.run --table scripts/results/growth_cpu.json
    python -m scripts.growth.picture scripts/results/growth_cpu.json docs/pictures/growth_cpu.svg

One factor at a time, each point a session of its own. A file that exists is continued: what it has is not measured
again. The 16 points of gpt2 take some twenty minutes on two cores.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from scripts.figures import Figures
from scripts.growth.points import Point, points
from scripts.growth.results import Measured, Results, Setting, read_results
from scripts.growth.table import tables
from scripts.machine import describe_machine, moment
from scripts.preset import preset_dimensions
from scripts.results_file import continued, results_parser, write_results
from scripts.session import run_session

from pytest_gpt_dist.errors import UsageError

DEADLINE_S = 3600.0


def measure(point: Point, setting: Setting) -> Measured:
    """Run the session of a point."""
    date, load = moment()
    (info,) = run_session(
        (
            f"--gpt-data-parallel={point.ranks}",
            f"--gpt-batch-size={point.batch_size}",
            f"--gpt-prompt-tokens={point.prompt_tokens}",
            f"--gpt-new-tokens={point.new_tokens}",
            f"--gpt-model={setting.model}",
            f"--gpt-dtype={setting.dtype}",
            f"--gpt-launches={setting.launches}",
            "--gpt-min-rounds=2",
            "--gpt-timeout=600",
        ),
        deadline_s=DEADLINE_S,
    ).values()
    return Measured(point, date, load, Figures.of(info))


def main() -> None:
    """Measure, or print what was measured."""
    parser = results_parser(__doc__)
    parser.add_argument("--model", default="gpt2", help="a preset (gpt2)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--launches", type=int, default=2, help="of each point (2)")
    parser.add_argument("--only", default="", help="points whose name has this in it, such as 'ranks 2'")
    given = parser.parse_args()
    try:
        if given.table:
            print(tables(read_results(given.table)))
            return
        if given.output is None:
            parser.error("--output or --table")
        preset_dimensions(given.model)
        setting = Setting(given.model, given.dtype, given.launches)
        results = continued(given.output, Results(setting, describe_machine()), read_results)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    for point in results.missing(points()):
        if given.only not in str(point):
            continue
        sys.stderr.write(f"{point}\n")
        results = replace(results, measured=(*results.measured, measure(point, setting)))
        write_results(given.output, results)
    print(tables(results))


if __name__ == "__main__":
    main()
