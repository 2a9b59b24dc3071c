"""Options: where they are read from, what they must be, and how a wrong one is said."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.config.declaration import Declaration, flag, parse_bytes, parse_counts, parse_names
from pytest_gpt_dist.config.pytest_options import read_options
from pytest_gpt_dist.config.settings import Options, check_argument, declarations
from pytest_gpt_dist.config.thresholds import DEFAULT_THRESHOLDS, Threshold
from pytest_gpt_dist.errors import UsageError, quoted

COUNTS = st.integers(1, 10**6)
UNITS = [
    *(("", 1), ("k", 10**3), ("M", 10**6), ("g", 10**9), ("T", 10**12)),
    *(("Ki", 2**10), ("mi", 2**20), ("Gi", 2**30), ("ti", 2**40)),
]

# Of each option a value as it is written, the same as TOML writes it, and what it means.
WRITTEN: dict[str, tuple[str, str, Any]] = {
    "model": ("gpt2", '"gpt2"', "gpt2"),
    "weights": ("pretrained", '"pretrained"', "pretrained"),
    "dtype": ("float16", '"float16"', "float16"),
    "offline": ("true", "true", True),
    "suite": ("training", '"training"', ("training",)),
    "gpus": ("4,1,2", '"4,1,2"', (1, 2, 4)),
    "engine": ("native,mine", '"native,mine"', ("native", "mine")),
    "scaling": ("strong", '"strong"', "strong"),
    "tensor_parallel": ("2", "2", 2),
    "pipeline_parallel": ("2", "2", 2),
    "data_parallel": ("2", "2", 2),
    "microbatches": ("3", "3", 3),
    "device": ("cpu", '"cpu"', "cpu"),
    "backend": ("gloo", '"gloo"', "gloo"),
    "threads_per_rank": ("2", "2", 2),
    "share_gpu": ("true", "true", True),
    "memory_limit": ("8GiB", '"8GiB"', 8 * 2**30),
    "attention": ("math", '"math"', "math"),
    "prompts": ("/somewhere/mine.jsonl", '"/somewhere/mine.jsonl"', "/somewhere/mine.jsonl"),
    "requests": ("7", "7", 7),
    "batch_size": ("3", "3", 3),
    "batching": ("by-length", '"by-length"', "by-length"),
    "token_budget": ("512", "512", 512),
    "prompt_tokens": ("33", "33", 33),
    "new_tokens": ("9", "9", 9),
    "temperature": ("0.5", "0.5", 0.5),
    "top_p": ("0.25", "0.25", 0.25),
    "repetition_penalty": ("1.5", "1.5", 1.5),
    "seed": ("11", "11", 11),
    "train_steps": ("7", "7", 7),
    "train_micro_batch_size": ("2", "2", 2),
    "train_grad_accumulation": ("3", "3", 3),
    "train_global_batch_size": ("12", "12", 12),
    "train_sequence_length": ("32", "32", 32),
    "train_optimizer": ("sgd", '"sgd"', "sgd"),
    "train_lr": ("0.25", "0.25", 0.25),
    "train_betas": ("0.5,0.75", '"0.5,0.75"', (0.5, 0.75)),
    "train_eps": ("0.125", "0.125", 0.125),
    "train_weight_decay": ("0.0", "0.0", 0.0),
    "train_schedule": ("cosine", '"cosine"', "cosine"),
    "train_warmup_steps": ("5", "5", 5),
    "train_warmup_min_lr": ("0.25", "0.25", 0.25),
    "train_clip": ("0.5", "0.5", 0.5),
    "train_activation_checkpointing": ("full", '"full"', 1),
    "train_activation_offload": ("true", "true", True),
    "train_cpu_offload": ("both", '"both"', "both"),
    "train_wrap": ("root", '"root"', 0),
    "train_prefetch": ("both", '"both"', "both"),
    "train_reduce_dtype": ("bfloat16", '"bfloat16"', "bfloat16"),
    "train_overlap": ("off", '"off"', "off"),
    "train_compression": ("topk", '"topk"', "topk"),
    "train_compression_rank": ("4", "4", 4),
    "train_compression_share": ("0.5", "0.5", 0.5),
    "train_error_feedback": ("off", '"off"', "off"),
    "train_loss_scale": ("128.0", "128.0", 128.0),
    "train_initial_scale_power": ("8", "8", 8),
    "train_loss_scale_window": ("50", "50", 50),
    "train_hysteresis": ("1", "1", 1),
    "train_min_loss_scale": ("0.5", "0.5", 0.5),
    "price": ("2.5", "2.5", 2.5),
    "train_tokens": ("1000000", "1000000", 1000000),
    "train_bucket_mb": ("3", "3", 3),
    "collective": ("broadcast,all_to_all", '"broadcast,all_to_all"', ("broadcast", "all_to_all")),
    "collective_sizes": ("1MiB,2KiB", '"1MiB,2KiB"', (2048, 2**20)),
    "rounds": ("4", "4", 4),
    "min_rounds": ("6", "6", 6),
    "max_time": ("2.5", "2.5", 2.5),
    "warmup": ("0", "0", 0),
    "launches": ("5", "5", 5),
    "timeout": ("60.5", "60.5", 60.5),
    "alert": (
        "temperature=70.5:critical,cpu=50",
        '"temperature=70.5:critical,cpu=50"',
        (Threshold("temperature", 70.5, "critical"), Threshold("cpu", 50.0), *DEFAULT_THRESHOLDS[1:3]),
    ),
    "baseline": ("true", "true", True),
    "require_baseline": ("true", "true", True),
    "against": ("HEAD~1", '"HEAD~1"', "HEAD~1"),
    "min_effect": ("0.05", "0.05", 0.05),
    "gate": ("ttft,itl", '"ttft,itl"', ("ttft", "itl")),
    "null_control": ("true", "true", True),
    "resume": ("true", "true", True),
    "report": ("/somewhere/report", '"/somewhere/report"', "/somewhere/report"),
    "profile": ("/somewhere/traces", '"/somewhere/traces"', "/somewhere/traces"),
    "log_level": ("info", '"info"', "info"),
    "log_dir": ("/somewhere/logs", '"/somewhere/logs"', "/somewhere/logs"),
    "wait": ("2.5", "2.5", 2.5),
    "launcher": ("torchrun", '"torchrun"', "torchrun"),
    "rendezvous": ("10.0.0.1:29400", '"10.0.0.1:29400"', ("10.0.0.1", 29400)),
}

WRONG = [
    ("batch_size", "four", "expected a whole number"),
    ("batch_size", "2.5", "expected a whole number"),
    ("batch_size", "0", "expected at least 1"),
    ("batch_size", "-1", "expected at least 1"),
    ("new_tokens", "0", "expected at least 1"),
    ("tensor_parallel", "0", "expected at least 1"),
    ("seed", "-1", "expected at least 0"),
    ("warmup", "-1", "expected at least 0"),
    ("temperature", "0", "expected more than 0"),
    ("temperature", "warm", "expected a number"),
    ("temperature", "inf", "expected a finite number"),
    ("temperature", "nan", "expected a finite number"),
    ("top_p", "1.5", "expected at most 1"),
    ("max_time", "0", "expected more than 0"),
    ("timeout", "-3", "expected more than 0"),
    ("alert", "temperature", "expected limits such as"),
    ("alert", "pressure=9", "expected limits such as"),
    ("alert", "cpu=50:fatal", "expected limits such as"),
    ("timeout", "2000000.5", "expected at most 1,000,000"),
    ("threads_per_rank", "1000000000", "expected at most 4,096"),
    ("batch_size", "1000000000000", "expected at most 1,000,000"),
    ("gpus", "1,5000", "expected device counts"),
    ("memory_limit", "9" * 400, "expected a size"),
    ("model", "", "expected something"),
    ("gpus", "1,two", "expected device counts"),
    ("gpus", "0,1", "expected device counts"),
    ("gpus", "9" * 5000, "expected device counts"),
    ("batch_size", "x" * 100_000, "expected a whole number"),
    ("engine", ",", "expected names"),
    ("memory_limit", "lots", "expected a size"),
    ("weights", "trained", "expected one of random, pretrained"),
    ("dtype", "float8", "expected one of float64, float32, bfloat16, float16"),
    ("scaling", "Weak", "expected one of weak, strong"),
    ("device", "tpu", "expected one of auto, cpu, cuda"),
    ("backend", "mpi", "expected one of auto, nccl, gloo"),
    ("batching", "random", "expected one of in-order, by-length, token-budget"),
    ("token_budget", "0", "expected at least 1"),
    ("suite", "serving", "expected some of inference, training, collectives, not serving"),
    ("train_betas", "0.9", "expected two numbers such as"),
    ("train_betas", "0.9,1", "expected two numbers from 0 to below 1"),
    ("train_optimizer", "adam", "expected one of adamw, sgd"),
    ("train_sequence_length", "1", "expected at least 2"),
    ("train_activation_checkpointing", "some", "expected off, full, or a number"),
    ("collective", "gather", "expected some of all_reduce"),
    ("collective_sizes", "much", "expected a size"),
    ("collective_sizes", "2TiB", "expected at most 1TiB"),
    ("wait", "-1", "expected at least 0"),
    ("launcher", "mpi", "expected one of local, torchrun"),
    ("rendezvous", "10.0.0.1", "expected HOST:PORT"),
    ("rendezvous", "10.0.0.1:99999", "expected HOST:PORT"),
    ("log_level", "loud", "expected one of debug, info, warning, error"),
]

WRONG_IN_INI = [(name, value) for name, value, _ in WRONG] + [("offline", "perhaps")]


def test_without_a_word_every_option_has_its_default(pytester: pytest.Pytester) -> None:
    assert read_options(pytester.parseconfig()) == Options()


def test_every_option_is_tried() -> None:
    assert list(WRITTEN) == [name for name, _ in declarations()]


@pytest.mark.parametrize("name", WRITTEN)
def test_an_option_is_read_from_the_command_line(pytester: pytest.Pytester, name: str) -> None:
    text, _, value = WRITTEN[name]
    given = flag(name) if value is True else f"{flag(name)}={text}"
    assert read_options(pytester.parseconfig(given)) == Options(**{name: value})


def test_all_options_are_read_from_a_pytest_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "\n".join(["[pytest]", *(f"gpt_{name} = {text}" for name, (text, _, _) in WRITTEN.items())])
    )
    assert read_options(pytester.parseconfig()) == Options(
        **{name: value for name, (_, _, value) in WRITTEN.items()}
    )


@pytest.mark.parametrize("table", ["tool.pytest", "tool.pytest.ini_options"])
def test_all_options_are_read_with_their_types_from_a_pyproject(
    pytester: pytest.Pytester, table: str
) -> None:
    lines = [f"gpt_{name} = {toml}" for name, (_, toml, _) in WRITTEN.items()]
    assert tomllib.loads("\n".join(lines))
    pytester.makepyprojecttoml("\n".join([f"[{table}]", *lines]))
    assert read_options(pytester.parseconfig()) == Options(
        **{name: value for name, (_, _, value) in WRITTEN.items()}
    )


def test_the_command_line_wins_over_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngpt_batch_size = 3\ngpt_seed = 5")
    options = read_options(pytester.parseconfig("--gpt-batch-size=2"))
    assert (options.batch_size, options.seed) == (2, 5)


def test_a_file_on_the_command_line_is_relative_to_the_working_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]")
    monkeypatch.chdir(pytester.mkdir("below"))
    options = read_options(pytester.parseconfig("--gpt-prompts=mine.jsonl", "--gpt-log-dir=logs"))
    assert options.prompts == str(pytester.path / "below" / "mine.jsonl")
    assert options.log_dir == str(pytester.path / "below" / "logs")


def test_a_file_in_the_ini_file_is_relative_to_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\ngpt_prompts = mine.jsonl\ngpt_log_dir = logs")
    monkeypatch.chdir(pytester.mkdir("below"))
    options = read_options(pytester.parseconfig())
    assert options.prompts == str(pytester.path / "mine.jsonl")
    assert options.log_dir == str(pytester.path / "logs")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("models/tiny", "{folder}/models/tiny"),
        ("tiny", "tiny"),
        ("hub/tiny", "hub/tiny"),
        ("hub/" + "a" * 300,) * 2,
    ],
)
def test_a_model_s_folder_in_the_ini_file_is_relative_to_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    pytester.makeini(f"[pytest]\ngpt_model = {given}")
    pytester.mkdir("tiny")
    (pytester.mkdir("models") / "tiny").mkdir()
    monkeypatch.chdir(pytester.mkdir("below"))
    assert read_options(pytester.parseconfig()).model == meant.format(folder=pytester.path)
    assert read_options(pytester.parseconfig(f"--gpt-model={given}")).model == given


@pytest.mark.parametrize(("name", "text", "said"), WRONG)
def test_a_wrong_flag_is_one_line_and_exit_status_4(
    pytester: pytest.Pytester, name: str, text: str, said: str
) -> None:
    result = pytester.runpytest_inprocess(f"{flag(name)}={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith(f"ERROR: {flag(name)}: {said}")
    assert quoted(text) in line or f"got {text}" in line or f"got {float(text):g}" in line.replace(".0", "")


@pytest.mark.parametrize(("name", "text"), WRONG_IN_INI)
def test_a_wrong_ini_value_is_one_line_and_exit_status_4(
    pytester: pytest.Pytester, name: str, text: str
) -> None:
    pytester.makeini(f"[pytest]\ngpt_{name} = {text}")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith(f"ERROR: gpt_{name} in tox.ini: ")
    assert text[:20] in line
    assert "None" not in line
    assert len(line) < 300


def test_a_value_of_another_type_in_a_pyproject_is_one_line_and_exit_status_4(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyprojecttoml('[tool.pytest]\ngpt_batch_size = "4"')
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert "pyproject.toml: " in line
    assert "gpt_batch_size" in line


def test_degrees_that_disagree_with_the_count_are_one_line_and_exit_status_4(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_inprocess("--gpt-gpus=4", "--gpt-tensor-parallel=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert "= 3 devices, but --gpt-gpus=4" in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--gpt-batching=token-budget"], "needs a budget: give --gpt-token-budget=N"),
        (["--gpt-token-budget=64"], "needs --gpt-batching=token-budget: in-order does not use it"),
        (["--gpt-token-budget=64", "--gpt-batching=by-length"], "by-length does not use it"),
    ],
)
def test_a_budget_and_its_way_of_batching_want_each_other(
    pytester: pytest.Pytester, flags: list[str], said: str
) -> None:
    result = pytester.runpytest_inprocess(*flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.endswith(said)


def test_help_lists_every_flag(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--help").stdout.str()
    assert [name for name, _ in declarations() if flag(name) not in shown] == []


@settings(deadline=None)
@given(dp=st.none() | st.integers(1, 9), pp=st.none() | st.integers(1, 9), tp=st.integers(1, 9))
def test_degrees_give_the_count(dp: int | None, pp: int | None, tp: int) -> None:
    options = Options(data_parallel=dp, pipeline_parallel=pp, tensor_parallel=tp)
    count = (dp or 1) * (pp or 1) * tp
    assert options.degrees == (dp or 1, pp or 1, tp)
    assert options.counts == (count,)
    agreeing = Options(gpus=(count,), data_parallel=dp, pipeline_parallel=pp, tensor_parallel=tp)
    assert agreeing.counts == (count,)


@pytest.mark.parametrize("gpus", [(3,), (4, 8), (1, 4)])
def test_degrees_must_agree_with_every_count(gpus: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="make them agree"):
        _ = Options(gpus=gpus, tensor_parallel=2, pipeline_parallel=2).counts


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 4096), min_size=1))
def test_counts_are_ascending_without_repeats(counts: list[int]) -> None:
    assert parse_counts(",".join(map(str, counts))) == tuple(sorted(set(counts)))


@settings(deadline=None)
@given(counts=st.lists(COUNTS), wrong=st.sampled_from(["", "0", "-4", "1.5", "four", "1;2"]))
def test_a_wrong_count_is_refused(counts: list[int], wrong: str) -> None:
    with pytest.raises(ValueError, match="expected device counts such as 1,2,4, none above 4,096"):
        parse_counts(",".join([*map(str, counts), wrong]))


@settings(deadline=None)
@given(names=st.lists(st.text("abc-", min_size=1), min_size=1))
def test_names_keep_their_order_without_repeats(names: list[str]) -> None:
    assert parse_names(" , ".join(names)) == tuple(dict.fromkeys(names))


@settings(deadline=None)
@given(
    number=st.integers(1, 1000),
    unit=st.sampled_from(UNITS),
    suffix=st.sampled_from(["", "b", "B"]),
    space=st.sampled_from(["", " "]),
)
def test_sizes_have_decimal_and_binary_units(
    number: int, unit: tuple[str, int], suffix: str, space: str
) -> None:
    assert parse_bytes(f"{number}{space}{unit[0]}{suffix}") == number * unit[1]


def test_a_size_may_have_a_fraction() -> None:
    assert parse_bytes("1.5GiB") == 3 * 2**29


@pytest.mark.parametrize(
    "text", ["", "B", "GiB", "0", "0.1", "-1GB", "1e9", "8 GiB each", "8iB", "1.2.3GB", "8XB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 8GiB or 500MB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", True),
        ("batch_size", 2.0),
        ("batch_size", "2"),
        ("new_tokens", -1),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 1.1),
        ("dtype", "float8"),
        ("dtype", 16),
        ("scaling", "both"),
        ("seed", -1),
        ("max_time", False),
    ],
)
def test_an_argument_in_code_is_held_to_the_options_rules(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        check_argument(name, value)
    assert str(caught.value).startswith(f"{name}={value!r}: expected ")


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 2), ("temperature", 1), ("top_p", 1.0), ("dtype", "float64")]
)
def test_a_right_argument_in_code_passes(name: str, value: Any) -> None:
    check_argument(name, value)


def test_the_repositorys_own_run_keeps_raw_samples(pytestconfig: pytest.Config) -> None:
    project = tomllib.loads(Path(pytestconfig.rootpath, "pyproject.toml").read_text())
    flags = project["tool"]["pytest"]["ini_options"]["addopts"]
    assert {"--benchmark-autosave", "--benchmark-save-data"} <= set(flags)


NUMBERS = [(name, how) for name, how in declarations() if how.ini in ("int", "float")]


@pytest.mark.parametrize(("name", "how"), NUMBERS, ids=[name for name, _ in NUMBERS])
def test_no_number_is_negative_infinite_or_none(name: str, how: Declaration) -> None:
    for wrong in ("-1",) if how.ini == "int" else ("-1.0", "nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="expected"):
            how.check(int(wrong) if how.ini == "int" else float(wrong))


@pytest.mark.parametrize(
    ("ini", "flags", "left"),
    [
        (
            "gpus = 1,2",
            ["tensor-parallel=2", "pipeline-parallel=2"],
            Options(tensor_parallel=2, pipeline_parallel=2),
        ),
        ("tensor_parallel = 4", ["gpus=1,2"], Options(gpus=(1, 2))),
        ("tensor_parallel = 4", ["gpus=4"], Options(gpus=(4,), tensor_parallel=4)),
        (
            "pipeline_parallel = 2\ngpt_gpus = 1",
            ["tensor-parallel=2"],
            Options(pipeline_parallel=2, tensor_parallel=2),
        ),
        ("baseline = true", ["against=HEAD"], Options(against="HEAD")),
        ("against = HEAD\ngpt_null_control = true", ["baseline"], Options(baseline=True)),
        ("against = HEAD", ["launches=5"], Options(launches=5)),
        ("launches = 5", ["against=HEAD"], Options(against="HEAD")),
        (
            "batching = token-budget\ngpt_token_budget = 9",
            ["batching=by-length"],
            Options(batching="by-length"),
        ),
        ("share_gpu = true", ["device=cpu"], Options(device="cpu")),
        ("batch_size = 3", ["gpus=1"], Options(batch_size=3, gpus=(1,))),
    ],
)
def test_the_command_line_wins_over_an_ini_key_that_excludes_it(
    pytester: pytest.Pytester, ini: str, flags: list[str], left: Options
) -> None:
    pytester.makeini(f"[pytest]\ngpt_{ini}")
    options = read_options(pytester.parseconfig(*(f"--gpt-{each}" for each in flags)))
    assert options == left
    assert options.counts
    options.check_comparison()
    options.check_batching()


@pytest.mark.parametrize(
    ("ini", "args", "said"),
    [
        (
            "gpus = 1,2\ngpt_tensor_parallel = 4",
            [],
            "gpt_tensor_parallel=4 in tox.ini = 4 devices, but gpt_gpus=1,2 in tox.ini; leave out gpt_gpus in tox.ini,",
        ),
        (
            "seed = 1",
            ["--gpt-gpus=1,2", "--gpt-tensor-parallel=4"],
            "--gpt-tensor-parallel=4 = 4 devices, but --gpt-gpus=1,2; leave out --gpt-gpus,",
        ),
        (
            "gpus = 8",
            ["-o", "gpt_gpus=1,2", "--gpt-tensor-parallel=4"],
            "--gpt-tensor-parallel=4 = 4 devices, but -o gpt_gpus=1,2; leave out -o gpt_gpus,",
        ),
        ("gate = ttft", [], "gpt_gate in tox.ini needs --gpt-against"),
        ("null_control = true", [], "gpt_null_control in tox.ini needs --gpt-against"),
        (
            "baseline = true\ngpt_against = HEAD",
            [],
            "gpt_baseline in tox.ini compares with saved sessions, gpt_against in tox.ini with launches",
        ),
        (
            "launches = 5\ngpt_against = HEAD",
            [],
            "gpt_launches=5 in tox.ini: gpt_against in tox.ini measures",
        ),
        ("token_budget = 9", [], "gpt_token_budget=9 in tox.ini: a token budget of 9 needs"),
        ("report = tox.ini", [], "gpt_report in tox.ini: "),
        (
            "require_baseline = true",
            ["--benchmark-storage=x://y"],
            "gpt_require_baseline in tox.ini reads folders",
        ),
    ],
)
def test_a_message_names_what_was_given_where_it_was_given(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ini: str, args: list[str], said: str
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # a session within a worker compares nothing
    pytester.makeini(f"[pytest]\ngpt_{ini}")
    result = pytester.runpytest_inprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith(f"ERROR: {said}")
