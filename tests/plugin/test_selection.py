"""Which cases a command line selects; nothing of these sessions starts a rank."""

import shutil
from pathlib import Path

import pytest

from plugin.sessions import error_line
from pytest_gpt_dist.inference.cases import ARGUMENTS
from pytest_gpt_dist.session.items import arguments_of, other_engines

MATRIX = Path(__file__).parents[2] / "benchmarks" / "test_inference.py"
NINE = [
    "1gpu-pure_data_parallel",
    "2gpu-pure_data_parallel",
    "2gpu-tensor_data_hybrid",
    "2gpu-pipeline_data_hybrid",
    "2gpu-full_model_parallel",
    "4gpu-pure_data_parallel",
    "4gpu-tensor_data_hybrid",
    "4gpu-pipeline_data_hybrid",
    "4gpu-full_model_parallel",
]


@pytest.fixture(autouse=True)
def _without_hypothesis(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plugin takes most of the time of a session that only collects."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with the repository's matrix, which runs on the CPU whatever there is."""
    shutil.copy(MATRIX, pytester.path)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --gpt-device=cpu")
    return pytester


def items(folder: pytest.Pytester, *args: str) -> list[pytest.Item]:
    _, calls = folder.inline_genitems(*args)
    (finish,) = calls.getcalls("pytest_collection_finish")
    session: pytest.Session = finish.session
    return session.items


def selected(folder: pytest.Pytester, *args: str) -> list[str]:
    return [item.name.removeprefix("test_generate[").removesuffix("]") for item in items(folder, *args)]


def test_the_matrix_has_nine_cases(folder: pytest.Pytester) -> None:
    assert selected(folder) == NINE


@pytest.mark.parametrize(
    "args",
    [
        ("-k", "4gpu and full_model"),
        ("-m", "gpt_dist(gpus=4, strategy='full_model_parallel')"),
        ("test_inference.py::test_generate[4gpu-full_model_parallel]",),
    ],
    ids=["keyword", "marker", "id"],
)
def test_one_case_is_selected(folder: pytest.Pytester, args: tuple[str, ...]) -> None:
    assert selected(folder, *args) == ["4gpu-full_model_parallel"]


def test_a_marker_selects_exactly_its_count(folder: pytest.Pytester) -> None:
    ids = selected(folder, "--gpt-gpus=4,64", "-m", "gpt_dist(gpus=4)")
    assert ids == [name for name in NINE if name.startswith("4gpu")]


def test_other_counts_replace_the_default_ones(folder: pytest.Pytester) -> None:
    ids = selected(folder, "--gpt-gpus=1,2,4,8")
    assert ids == [*NINE, *(name.replace("4gpu", "8gpu") for name in NINE if name.startswith("4gpu"))]


def test_the_counts_may_stand_in_the_ini_file(folder: pytest.Pytester) -> None:
    folder.makeini("[pytest]\ngpt_gpus = 1\ngpt_device = cpu")
    assert selected(folder) == ["1gpu-pure_data_parallel"]


def test_degrees_replace_the_matrix(folder: pytest.Pytester) -> None:
    ids = selected(folder, "--gpt-tensor-parallel=2", "--gpt-pipeline-parallel=2")
    assert ids == ["4gpu-dp1pp2tp2"]


def test_degrees_that_agree_with_the_count_are_no_error(folder: pytest.Pytester) -> None:
    assert selected(folder, "--gpt-gpus=4", "--gpt-data-parallel=4") == ["4gpu-dp4pp1tp1"]


def test_degrees_that_disagree_with_the_count_end_the_session(folder: pytest.Pytester) -> None:
    line = error_line(folder.runpytest_inprocess("--gpt-gpus=2", "--gpt-tensor-parallel=4"))
    assert line.startswith("--gpt-tensor-parallel=4 = 4 devices, but --gpt-gpus=2; leave out --gpt-gpus,")


def test_what_differs_from_the_default_workload_is_in_the_id(folder: pytest.Pytester) -> None:
    ids = selected(folder, "--gpt-gpus=1", "--gpt-model=gpt2-xl", "--gpt-dtype=float16", "--gpt-batch-size=8")
    assert ids == ["1gpu-pure_data_parallel-gpt2-xl.float16.b8"]


def test_every_case_carries_the_marker(folder: pytest.Pytester) -> None:
    markers = [item.get_closest_marker("gpt_dist") for item in items(folder)]
    assert [marker.kwargs["gpus"] for marker in markers if marker] == [1] + [2] * 4 + [4] * 4


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--gpt-model=gpt2-mega", "unknown model 'gpt2-mega': did you mean gpt2-medium or gpt2-mini"),
        ("--gpt-engine=nativ", "unknown engine 'nativ': did you mean native?"),
        ("--gpt-model=./nowhere", "model './nowhere': there is no such folder"),
        ("--gpt-model=.", "is no model folder, it has no config.json"),
        ("--gpt-prompts=none.jsonl", "none.jsonl: No such file or directory"),
        ("--gpt-prompts=wrong.jsonl", "wrong.jsonl:2: not JSON"),
        (
            "--gpt-prompt-tokens=2000",
            "2000 prompt tokens and 64 new ones do not fit gpt2-mini's context of 1024",
        ),
        ("--gpt-new-tokens=1000", "do not fit gpt2-mini's context of 1024"),
        ("--gpt-weights=pretrained", "model 'gpt2-mini': no trained weights of this shape exist"),
    ],
)
def test_wrong_options_end_the_session_before_the_first_case(
    folder: pytest.Pytester, flag: str, said: str
) -> None:
    (folder.path / "wrong.jsonl").write_text('{"prompt": "Hello"}\nHello\n')
    assert said in error_line(folder.runpytest_inprocess(flag))


@pytest.mark.parametrize(
    ("flags", "left"),
    [(["--gpt-token-budget=100"], 100), (["--gpt-token-budget=300", "--gpt-scaling=strong"], 75)],
    ids=["weak", "strong"],
)
def test_a_budget_below_a_request_in_any_case_ends_the_session_before_the_first(
    folder: pytest.Pytester, flags: list[str], left: int
) -> None:
    line = error_line(folder.runpytest_inprocess("--gpt-batching=token-budget", *flags))
    assert f"64 prompt tokens and 64 new ones are more than the {left} that the token budget leaves" in line


def test_an_architecture_that_is_not_supported_is_said_with_those_that_are(folder: pytest.Pytester) -> None:
    (folder.mkdir("bert") / "config.json").write_text('{"model_type": "bert"}')
    line = error_line(folder.runpytest_inprocess("--gpt-model=bert/"))
    assert "model_type 'bert' is not supported; these are: gpt2, llama, qwen3" in line


def test_a_hub_that_may_not_be_asked_is_said(folder: pytest.Pytester) -> None:
    line = error_line(folder.runpytest_inprocess("--gpt-model=nobody/nothing", "--gpt-offline"))
    assert line == "model 'nobody/nothing': is not on this machine, and offline was asked for"


def test_a_wrong_option_harms_no_session_without_the_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    pytester.runpytest_inprocess("--gpt-model=gpt2-mega").assert_outcomes(passed=1)


def test_benchmark_skip_skips_cases(folder: pytest.Pytester) -> None:
    folder.runpytest_inprocess("--benchmark-skip").assert_outcomes(skipped=9)


def test_benchmark_only_keeps_tests_that_use_gpt_dist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_case(gpt_dist): pass
        def test_other(): pass
        """
    )
    result = pytester.runpytest_inprocess("--benchmark-only", "-rA")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["PASSED *::test_case"])


def test_a_test_that_runs_nothing_is_not_warned_of_an_unused_benchmark(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makepyfile("def test_case(gpt_dist): pass")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_markers_and_fixtures_are_documented(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.gpt_dist(gpus, strategy, ?*workload): *", "@pytest.mark.gpt_dist_matrix(mode=*): *"]
    )
    fixtures = pytester.runpytest_inprocess("--fixtures").stdout
    for name in ("gpt_dist", "gpt_process_group"):  # pytest sorts them by the text of their place
        fixtures.fnmatch_lines([f"{name} -- *"])


@pytest.mark.parametrize(
    "flags",
    [
        ["--gpt-model=gpt2-mega"],
        ["--gpt-model=./nowhere"],
        ["--gpt-model=bert"],
        ["--gpt-engine=nativ"],
        ["--gpt-prompts=none.jsonl"],
        ["--gpt-model=nobody/nothing", "--gpt-offline"],
    ],
    ids=["unknown", "missing", "broken", "engine", "prompts", "offline"],
)
def test_a_wrong_model_is_found_when_tests_are_only_collected(
    folder: pytest.Pytester, flags: list[str]
) -> None:
    (folder.mkdir("bert") / "config.json").write_text('{"model_type": "bert"}')
    if flags == ["--gpt-model=bert"]:
        flags = ["--gpt-model=./bert"]
    assert error_line(folder.runpytest_inprocess("--collect-only", *flags))


def test_a_model_of_the_hub_is_not_asked_for_when_tests_are_only_collected(
    folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("pytest_gpt_dist.model.catalog._download", ask)
    ids = selected(folder, "--gpt-model=owner/mine", "--gpt-gpus=1")
    assert ids == ["1gpu-pure_data_parallel-mine"]


OWN = """
import pytest

@pytest.mark.gpt_dist_matrix
@pytest.mark.parametrize("new_tokens", [4, 8])
def test_parameter(gpt_dist, gpus, strategy, engine, new_tokens): pass

@pytest.mark.gpt_dist_matrix
@pytest.mark.gpt_dist(new_tokens=4)
def test_marker(gpt_dist, gpus, strategy, engine): pass

@pytest.mark.gpt_dist_matrix
@pytest.mark.gpt_dist(new_tokens=None, seed=3)
def test_none(gpt_dist, gpus, strategy, engine): pass

@pytest.mark.gpt_dist_matrix
@pytest.mark.gpt_dist(new_tokens="many")
def test_wrong(gpt_dist, gpus, strategy, engine): pass

@pytest.mark.gpt_dist(new_tokens=4)
class TestClass:
    @pytest.mark.gpt_dist_matrix
    def test_marker(self, gpt_dist, gpus, strategy, engine): pass
"""


def test_an_id_says_what_the_test_runs_and_not_what_the_options_say(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpt_device = cpu\ngpt_gpus = 1\ngpt_new_tokens = 24\ngpt_batch_size = 8")
    pytester.makepyfile(OWN)
    case = "1gpu-pure_data_parallel"
    found = items(pytester)
    assert [item.name for item in found] == [
        f"test_parameter[{case}-b8-4]",
        f"test_parameter[{case}-b8-8]",
        f"test_marker[{case}-b8.n4]",
        f"test_none[{case}-b8.n24.seed3]",
        f"test_wrong[{case}-b8.n24]",
        f"test_marker[{case}-b8.n4]",
    ]
    closest = found[-1].get_closest_marker("gpt_dist")
    assert closest is not None
    assert closest.kwargs == {
        "new_tokens": 4,
        "gpus": 1,
        "strategy": "pure_data_parallel",
        "engine": "native",
    }


def test_two_prompt_files_of_one_name_have_two_ids(folder: pytest.Pytester) -> None:
    ids: list[str] = []
    for number in (1, 2, 2):
        where = folder.path / f"{number}{len(ids)}"
        where.mkdir()
        (where / "chat.jsonl").write_text(f'{{"input_ids": [{number}]}}\n')
        ids += selected(folder, "--gpt-gpus=1", f"--gpt-prompts={where / 'chat.jsonl'}")
    assert ids[0] != ids[1] == ids[2]
    assert all(name.startswith("1gpu-pure_data_parallel-chat-") for name in ids)


def test_two_folders_of_one_name_have_two_ids(folder: pytest.Pytester) -> None:
    ids: list[str] = []
    for layers in (1, 2):
        where = folder.path / str(layers) / "mine"
        where.mkdir(parents=True)
        (where / "config.json").write_text(f'{{"model_type": "gpt2", "n_layer": {layers}}}')
        ids += selected(folder, "--gpt-gpus=1", "--gpt-weights=random", f"--gpt-model={where}")
    assert ids[0] != ids[1]
    assert all(name.startswith("1gpu-pure_data_parallel-mine-") for name in ids)


def test_a_sweep_has_the_matrix_once_for_each_combination(folder: pytest.Pytester) -> None:
    found = items(folder, "--gpt-gpus=1", "--gpt-batch-size=1,4", "--gpt-prompt-tokens=8,64,8")
    case = "test_generate[1gpu-pure_data_parallel"
    assert [item.name for item in found] == [f"{case}{label}]" for label in ("-b1.p8", "-b1", "-p8", "")]
    said = [arguments_of(item, {}, ARGUMENTS) for item in found]
    assert [(each["batch_size"], each["prompt_tokens"]) for each in said] == [
        (1, 8),
        (1, 64),
        (4, 8),
        (4, 64),
    ]


def test_engines_take_turns_within_a_workload_of_a_sweep(folder: pytest.Pytester) -> None:
    found = items(folder, "--gpt-gpus=1", "--gpt-batch-size=1,4", "--gpt-engine=native,transformers")
    assert [other_engines(item) for item in found] == [["transformers"], [], ["transformers"], []]


def test_what_a_test_gives_itself_is_not_swept(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpt_device = cpu\ngpt_gpus = 1")
    pytester.makepyfile(OWN)
    names = [
        item.name
        for item in items(pytester, "-k", "not Class and (marker or parameter)", "--gpt-new-tokens=5,6")
    ]
    case = "1gpu-pure_data_parallel"
    assert names == [f"test_parameter[{case}-4]", f"test_parameter[{case}-8]", f"test_marker[{case}-n4]"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--gpt-batch-size=1,0",), "--gpt-batch-size: expected at least 1, got '1,0'"),
        (("--gpt-batch-size=1,,2",), "--gpt-batch-size: expected a whole number, got '1,,2'"),
        (("--gpt-dtype=float32,float8",), "--gpt-dtype: expected one of float64, float32"),
        (
            ("--gpt-prompt-tokens=8,2000",),
            "2000 prompt tokens and 64 new ones do not fit gpt2-mini's context",
        ),
        (("--gpt-model=gpt2-mini,gpt2-mega",), "unknown model 'gpt2-mega'"),
        (
            (
                f"--gpt-seed={','.join(map(str, range(40)))}",
                f"--gpt-requests={','.join(map(str, range(1, 31)))}",
            ),
            "1,200 workloads, at most 1,000 in a session",
        ),
    ],
    ids=["value", "nothing", "choice", "later", "model", "many"],
)
def test_a_wrong_sweep_ends_the_session_before_the_first_case(
    folder: pytest.Pytester, flags: tuple[str, ...], said: str
) -> None:
    assert said in error_line(folder.runpytest_inprocess(*flags))
