"""A strategy that is wrong is an error that says what is wrong, and by how much."""

import re

import pytest

from pytest_gpt_dist.training.strategies import Ddp, Zero1, Zero3
from pytest_gpt_dist.training.strategy import TrainingStrategy
from trainings import Trainings, job_of, work_of

AWAY = r"is \S+ away from one process's \(bound 1e-09, all together \S+\)"
GRADIENT = rf"gradient of transformer\.\S+ {AWAY}"
BROKEN = [
    (Ddp(), "SkippedAllReduce", GRADIENT),
    (Ddp(), "MeanOfMeans", GRADIENT),
    (Ddp(), "ScaledTwice", GRADIENT),
    (Ddp(), "ReducedTooOften", r"rank 0 communicated all_reduce of .* bytes in a step, its plan says"),
    (Ddp(), "OtherWeights", GRADIENT),
    (
        Ddp(),
        "SecondStepForgotten",
        r"loss of step 3 is \S+, one process has \S+ \(\S+ away, bound 1e-10\)",
    ),
    (Ddp(), "LastStepForgotten", rf"transformer\.\S+ after the last checked step {AWAY}"),
    (
        Zero1(),
        "UndividedState",
        r"rank 0 holds .* bytes of optimizer, its share under dp2·pp1·tp1 · optimizer in 2",
    ),
    (Zero3(), "LastMicrobatchOnly", GRADIENT),
    (
        Zero3(),
        "OptimizerOfWholeTensors",
        r"rank 0 holds 0 bytes of optimizer, its share under dp2·pp1·tp1 · parameters in 2",
    ),
    (Zero3(), "WholeRoot", rf"gradient of transformer\.(wte|wpe|ln_f)\.\S+ {AWAY}"),
    (
        Zero3(),
        "OneUnit",
        r"rank 0 communicated .* × (all_gather|reduce_scatter) in a step|all_gather of .* bytes",
    ),
    (Zero3(), "OwnNorm", r"norm of the gradient before clipping is \S+, one process has"),
]


@pytest.mark.parametrize(("strategy", "broken", "said"), BROKEN, ids=[broken for _, broken, _ in BROKEN])
def test_what_is_wrong_has_no_number(
    trainings: Trainings, strategy: TrainingStrategy, broken: str, said: str
) -> None:
    path = f"broken_training:{broken}"
    problem = trainings.problem(job_of(strategy, 2, work_of("gpt2"), divider=path))
    assert problem is not None
    assert re.search(said, problem), problem
    assert len(problem.splitlines()) == 1
