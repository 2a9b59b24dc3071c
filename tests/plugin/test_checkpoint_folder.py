"""A checkpoint folder as save_pretrained writes it, in place of a preset."""

import json
from pathlib import Path

import pytest

from plugin.sessions import Session, run_session
from pytest_gpt_dist.cluster import Cluster, ClusterConfig

PROMPTS = [[5, 6, 7], [8, 900], [11, 12, 13, 14, 15]]
NEW_TOKENS = 8
TEST = """
import json
from pathlib import Path

import pytest

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())

@pytest.mark.parametrize("layout", ["dp1pp1tp1", "dp1pp1tp2", "dp1pp2tp1", "dp2pp1tp1"])
def test_tokens(gpt_dist, layout):
    result = gpt_dist.run(strategy=layout, prompts=EXPECTED["prompts"])
    assert result.tokens == EXPECTED["tokens"]
    assert result.extra_info["weights"] == "pretrained"
    assert result.extra_info["model"].startswith("my-gpt2-")
    assert EXPECTED["folder"] not in json.dumps(result.extra_info)

def test_random_weights_of_its_shape(gpt_dist):
    result = gpt_dist.run(weights="random", prompts=EXPECTED["prompts"])
    assert result.extra_info["weights"] == "random"
    assert result.tokens != EXPECTED["tokens"]
"""


def write_and_continue(folder: str) -> list[list[int]]:
    from checkpoints import GPT2, continue_greedily, load_reference, write_checkpoint  # noqa: PLC0415

    write_checkpoint(folder, GPT2, "float32")
    model = load_reference(folder, "float32")
    return [continue_greedily(model, tuple(prompt), NEW_TOKENS)[0] for prompt in PROMPTS]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[int]]]:
    """A checkpoint, and transformers' own greedy tokens in float32."""
    folder = tmp_path_factory.mktemp("models") / "my-gpt2"
    with Cluster(ClusterConfig("cpu")) as cluster:
        (tokens,) = cluster.group(1).run(write_and_continue, str(folder))
    return folder, tokens


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, expected: tuple[Path, list[list[int]]]) -> Session:
    checkpoint, tokens = expected
    expected_json = {"prompts": PROMPTS, "tokens": tokens, "folder": str(checkpoint.parent)}
    return run_session(
        tmp_path_factory.mktemp("checkpoint"),
        {"test_tokens.py": TEST, "expected.json": json.dumps(expected_json)},
        f"--gpt-model={checkpoint}",
        f"--gpt-new-tokens={NEW_TOKENS}",
        "--gpt-device=cpu",
        "--benchmark-disable",
    )


def test_transformers_tokens_vary(expected: tuple[Path, list[list[int]]]) -> None:
    tokens = expected[1]
    assert all(len(set(ids)) > 2 for ids in tokens)
    assert len({tuple(ids) for ids in tokens}) == len(PROMPTS)


@pytest.mark.parametrize("layout", ["dp1pp1tp1", "dp1pp1tp2", "dp1pp2tp1", "dp2pp1tp1"])
def test_tokens_are_those_of_transformers(session: Session, layout: str) -> None:
    test = session.tests[f"test_tokens[{layout}]"]
    assert test.outcome == "passed", test.said


def test_its_shape_can_have_random_weights(session: Session) -> None:
    test = session.tests["test_random_weights_of_its_shape"]
    assert test.outcome == "passed", test.said
