"""What several ranks gain over one on disjoint cores, under weak scaling, and where the rest goes.

    python -m scripts.scaling.run --output scripts/results/scaling_cpu.json
    python -m scripts.scaling.run --table scripts/results/scaling_cpu.json

Each session measures every layout once, so that the launches of all of them take turns, and the limits of one, two
and four ranks beside them. A file that exists is continued.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from scripts.figures import Figures
from scripts.machine import describe_machine, moment
from scripts.preset import preset_dimensions
from scripts.results_file import continued, results_parser, write_results
from scripts.scaling.results import Results, Session, Setting, read_results
from scripts.scaling.table import gains, shares, summary
from scripts.session import run_session

from pytest_gpt_dist.errors import UsageError

DEADLINE_S = 3600.0
# On two devices full_model_parallel is tensor_data_hybrid again.
_CASES = "test_generate and not (2gpu and full_model_parallel)"


def measure(setting: Setting) -> Session:
    """Run one session of all layouts, and one of two replicas with twice the batch."""
    date, load = moment()
    counts = f"--gpt-gpus={','.join(map(str, setting.ranks))}"
    saved = run_session(
        (*_workload(setting, setting.batch_size), "-k", _CASES, counts), deadline_s=DEADLINE_S
    )
    (twice,) = run_session(
        (*_workload(setting, 2 * setting.batch_size), "--gpt-data-parallel=2"), deadline_s=DEADLINE_S
    ).values()
    return Session(date, load, tuple(map(Figures.of, saved.values())), Figures.of(twice))


def _workload(setting: Setting, batch_size: int) -> tuple[str, ...]:
    return (
        f"--gpt-model={setting.model}",
        f"--gpt-dtype={setting.dtype}",
        f"--gpt-batch-size={batch_size}",
        f"--gpt-prompt-tokens={setting.prompt_tokens}",
        f"--gpt-new-tokens={setting.new_tokens}",
        "--gpt-min-rounds=2",
        "--gpt-timeout=600",
    )


def main() -> None:
    """Measure, or print what was measured."""
    parser = results_parser(__doc__)
    parser.add_argument("--sessions", type=int, default=3, help="launches of each layout (3)")
    parser.add_argument("--model", default="gpt2", help="a preset (gpt2)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, default=4, help="requests a rank (4)")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--ranks", default="1,2,4", choices=("1,2", "1,2,4"), help="numbers of ranks (1,2,4)")
    given = parser.parse_args()
    try:
        if given.table:
            results = read_results(given.table)
            print(gains(results), shares(results), summary(results), sep="\n\n")
            return
        if given.output is None:
            parser.error("--output or --table")
        preset_dimensions(given.model)
        ranks = tuple(map(int, given.ranks.split(",")))
        setting = Setting(
            given.model, given.dtype, given.batch_size, given.prompt_tokens, given.new_tokens, ranks
        )
        results = continued(given.output, Results(setting, describe_machine()), read_results)
    except UsageError as error:
        parser.exit(4, f"{error}\n")
    for number in range(len(results.sessions) + 1, given.sessions + 1):
        sys.stderr.write(f"session {number} of {given.sessions}\n")
        results = replace(results, sessions=(*results.sessions, measure(setting)))
        write_results(given.output, results)
    print(summary(results))


if __name__ == "__main__":
    main()
