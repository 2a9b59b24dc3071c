"""Sessions over machines that torchrun brought up: here two agents on one machine, two ranks each."""

import re
from pathlib import Path

import pytest

from machines import Agents, write_secret
from plugin.sessions import TINY, Session, own_environment, prepare, run_session

MATRIX = """\
import pytest

@pytest.mark.gpt_dist_matrix
def test_generate(gpt_dist, gpus, strategy, engine):
    print("TOKENS", strategy, gpt_dist.run().extra_info["tokens_sha256"])
"""
GROUPS = """\
import os
import signal
import time
import torch.distributed as dist
from pytest_gpt_dist.cluster import RankGroupError
import pytest

def place():
    names = ("GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "WORLD_SIZE")
    return tuple(int(os.environ[name]) for name in names)

def die(rank):
    if dist.get_rank() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()

def kill_member(rank):
    if dist.get_rank() == rank:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # until this rank ends with it
    dist.barrier()

def test_places(gpt_process_group):
    assert gpt_process_group(4).run(place) == [
        (0, 0, 2, 0, 4), (0, 1, 2, 1, 4), (1, 0, 2, 2, 4), (1, 1, 2, 3, 4)
    ]
    assert gpt_process_group(2).run(place) == [(0, 0, 2, 0, 2), (0, 1, 2, 1, 2)]
    assert gpt_process_group(3).run(place)[2] == (1, 0, 1, 2, 3)

def test_a_rank_dies(gpt_process_group):
    with pytest.raises(RankGroupError) as caught:
        gpt_process_group(4).run(die, 3)
    print("DIED", str(caught.value).splitlines()[0])

def test_a_member_dies(gpt_process_group):
    with pytest.raises(RankGroupError) as caught:
        gpt_process_group(4).run(kill_member, 2)
    print("LOST", str(caught.value).splitlines()[0])

def test_all_is_well_again(gpt_process_group):
    assert len(gpt_process_group(4).run(place)) == 4

def test_too_many(gpt_process_group):
    gpt_process_group(5)
"""
HERE = (*TINY, "--gpt-device=cpu", "--gpt-gpus=4", "--gpt-engine=native", "--gpt-timeout=60", "-rA")


def tokens(output: str) -> dict[str, str]:
    lines = [line.split() for line in output.splitlines() if line.startswith("TOKENS ")]
    return {strategy: digest for _, strategy, digest in lines}


def said(session: Session, word: str) -> str:
    return next(line for line in session.output.splitlines() if line.startswith(f"{word} "))


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session over two agents: the four-device matrix, untimed, and groups to which something happens."""
    folder = tmp_path_factory.mktemp("machines")
    environment = own_environment(folder) | write_secret(folder / "secret")
    files = {"test_matrix.py": MATRIX, "test_groups.py": GROUPS}
    prepare(folder, files)
    with Agents(folder, environment, ["127.0.0.1", "127.0.0.1"], members=("--next=1",)) as agents:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GPT_DIST_SECRET_FILE", environment["GPT_DIST_SECRET_FILE"])
            session = run_session(folder, files, *HERE, *agents.options, "--benchmark-disable")
        statuses = [agent.wait(60) for agent in agents.processes]
    assert statuses == [0, 0], (folder / "agent0.log").read_text()
    return session


def test_every_case_passes_beside_what_happens_to_others(apart: Session) -> None:
    outcomes = {name: test.outcome for name, test in apart.tests.items()}
    assert outcomes.pop("test_too_many") == "skipped"
    assert set(outcomes.values()) == {"passed"}, apart.output
    assert len(outcomes) == 8


def test_the_matrix_has_the_tokens_of_one_machine(apart: Session, tmp_path: Path) -> None:
    chosen = ("-k", "full_model_parallel", "--benchmark-disable")
    here = run_session(tmp_path, {"test_matrix.py": MATRIX}, *HERE, *chosen)
    (digest,) = tokens(here.output).values()
    found = tokens(apart.output)
    assert len(found) == 4
    assert set(found.values()) == {digest}


def test_a_dead_rank_and_a_lost_machine_are_told_with_their_machine(apart: Session) -> None:
    died = said(apart, "DIED")
    assert died.startswith("DIED rank 3 (machine 1 (")
    assert died.endswith("at 127.0.0.1)) was killed by SIGKILL, perhaps by the kernel's out-of-memory killer")
    lost = said(apart, "LOST")
    assert re.match(r"LOST rank [23] \(machine 1 \(", lost)
    assert "at 127.0.0.1)) was lost with its machine: " in lost


def test_too_few_ranks_skip_with_the_reason(apart: Session) -> None:
    assert apart.tests["test_too_many"].said == "needs 5 ranks, torchrun's world has 4 on 2 machines"
