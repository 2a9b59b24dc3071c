"""The engines that wrap a library, on live ranks, against the native one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from platform import machine
from shutil import which
from typing import Any

import pytest

from pytest_gpt_dist.cluster import Cluster, ClusterConfig
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.batching import plan
from pytest_gpt_dist.inference.engines import Microbatch, ModelSource, Request, Sampling
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout, parameter_bytes
from stopwatches import Notes

NEEDS_CTRANSLATE2 = pytest.mark.skipif(
    find_spec("ctranslate2") is None, reason="ctranslate2 is not installed"
)
NEEDS_LLAMA_CPP = pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("gguf") is None,
    reason="llama-cpp-python or gguf is not installed",
)
ENGINES = [
    pytest.param("transformers:EagerTransformersEngine", id="transformers"),
    pytest.param("ctranslate2:CTranslate2Engine", id="ctranslate2", marks=NEEDS_CTRANSLATE2),
    pytest.param("llama_cpp:LlamaCppEngine", id="llama_cpp", marks=NEEDS_LLAMA_CPP),
]
# Two checkpoints have what a library computes otherwise, and its limits refuse.
REFUSED = {("ctranslate2", "llama"), ("llama_cpp", "gpt2"), ("llama_cpp", "gpt2-untied")}
EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)
SAMPLED = Sampling(temperature=0.8, top_p=0.9, repetition_penalty=1.3, seed=3)
PENALISED = Sampling(repetition_penalty=0.3)
# Of two and two rows in a batch: one of equal lengths, two of unequal ones, each with unequal wishes in the last.
REQUESTS = tuple(
    Request(index, tuple((7 * index + 13 * place) % 1009 for place in range(length)), new_tokens)
    for index, (length, new_tokens) in enumerate([(6, 6), (6, 6), (3, 6), (11, 4), (2, 5), (5, 1)])
)
# Three tokens: all of them are generated, among them what libraries take for an end of text.
_THREE = {
    "model_type": "llama",
    "hidden_size": 20,
    "num_attention_heads": 5,
    "num_hidden_layers": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "vocab_size": 3,
}
THREE_TOKENS = DecoderConfig.from_hf(_THREE, "tiny")
_ONE = {"model_type": "gpt2", "n_embd": 20, "n_head": 5, "n_layer": 1, "n_positions": 64, "vocab_size": 1009}
ONE_LAYER = DecoderConfig.from_hf(_ONE, "tiny")  # soon compiled


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster


class Recorder:
    """Keeps the logits of every choice that it passes on."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.steps: dict[tuple[int, int], Any] = {}

    def __call__(self, microbatch: Microbatch, step: int, logits: Any) -> Any:
        for request, row in zip(microbatch.requests, logits, strict=True):
            self.steps[request.index, step] = row.clone()
        return self.sampler(microbatch, step, logits)


@dataclass(frozen=True)
class Shape:
    """How the requests are divided."""

    batch_size: int = 2
    microbatches: int = 1
    layout: Layout = Layout()  # noqa: RUF009


@dataclass(frozen=True)
class Run:
    """What an engine made of the requests."""

    tokens: dict[int, list[int]]
    sampled: dict[int, list[int]]
    penalised: dict[int, list[int]]
    events: list[str]
    parameter_bytes: int | None
    configuration: dict[str, str | int | bool]
    left_behind: list[str]


def generate(
    engine: str,
    source: ModelSource,
    requests: tuple[Request, ...] = REQUESTS,
    shape: Shape = Shape(),
) -> Run:
    import os  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    from pytest_gpt_dist.inference.engines.protocol import SamplesItself  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415
    from pytest_gpt_dist.registry import load  # noqa: PLC0415

    mesh = Mesh(shape.layout, this_rank())
    made = load(f"pytest_gpt_dist.inference.engines.{engine}", what="engine")(source, mesh)
    batches = plan(requests, shape.layout, shape.batch_size, "weak", shape.microbatches)[mesh.at.dp]
    vocabulary = source.config.dimensions.vocabulary
    notes = Notes()
    tokens = made.generate(batches, make_sampler(Sampling(), vocabulary, mesh), notes)
    sampled, penalised = (
        {}
        if isinstance(made, SamplesItself)
        else made.generate(batches, make_sampler(each, vocabulary, mesh))
        for each in (SAMPLED, PENALISED)
    )
    left = [path.name for path in Path(tempfile.gettempdir()).glob(f"gpt-dist-scratch-{os.getpid()}-*")]
    run = Run(tokens, sampled, penalised, notes.events, made.parameter_bytes, dict(made.configuration), left)
    made.close()
    return run


def logit_errors(source: ModelSource, batch_size: int) -> list[float]:
    """How far CTranslate2's logits of forced tokens are from native ones, relative to the largest, by request."""
    from pytest_gpt_dist.inference.engines.ctranslate2 import CTranslate2Engine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh = Mesh(Layout(), this_rank())
    (batches,) = plan(REQUESTS, Layout(), batch_size)
    recorder = Recorder(make_sampler(Sampling(), 1009, mesh))
    tokens = NativeEngine(source, mesh).generate(batches, recorder)
    peer = CTranslate2Engine(source, mesh)
    errors = []
    for batch in batches:
        (microbatch,) = batch.microbatches
        steps = min(request.new_tokens for request in microbatch.requests)
        forced = [tokens[request.index][:steps] for request in microbatch.requests]
        theirs = peer.forced_logits(microbatch, forced)
        assert theirs.shape == (len(forced), steps, 1009)
        for request, row in zip(microbatch.requests, theirs, strict=True):
            for step, logits in enumerate(row):
                ours = recorder.steps[request.index, step]
                errors.append(float((logits - ours).abs().max() / ours.abs().max()))
    peer.close()
    return errors


def llama_cpp_errors(source: ModelSource) -> list[float]:
    """How far llama.cpp's logits of the native engine's tokens are from native ones, relative to the largest."""
    import torch  # noqa: PLC0415

    from pytest_gpt_dist.inference.engines.llama_cpp import LlamaCppEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.native import NativeEngine  # noqa: PLC0415
    from pytest_gpt_dist.inference.engines.samplers import make_sampler  # noqa: PLC0415
    from pytest_gpt_dist.inference.mesh import Mesh  # noqa: PLC0415

    mesh = Mesh(Layout(), this_rank())
    (batches,) = plan(REQUESTS, Layout(), 2)
    ours = Recorder(make_sampler(Sampling(), 1009, mesh))
    NativeEngine(source, mesh).generate(batches, ours)

    def choose_the_same(microbatch: Microbatch, step: int, _: Any) -> Any:
        return torch.stack([ours.steps[request.index, step].argmax() for request in microbatch.requests])

    theirs = Recorder(choose_the_same)
    peer = LlamaCppEngine(source, mesh)
    peer.generate(batches, theirs)
    peer.close()
    return [
        float((theirs.steps[at] - logits).abs().max() / logits.abs().max())
        for at, logits in ours.steps.items()
    ]


def seen_of_llama_cpp(source: ModelSource) -> tuple[str, int]:
    """What is printed while llama.cpp works, and how many threads it starts that stay."""
    import os  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    import pytest_gpt_dist.inference.engines.llama_cpp  # noqa: F401, PLC0415

    threads = len(os.listdir("/proc/self/task"))
    kept = [os.dup(stream) for stream in (1, 2)]
    with tempfile.TemporaryFile() as printed:
        try:
            for stream in (1, 2):
                os.dup2(printed.fileno(), stream)
            generate("llama_cpp:LlamaCppEngine", source)
        finally:
            for stream, own in zip((1, 2), kept, strict=True):
                os.dup2(own, stream)
                os.close(own)
        printed.seek(0)
        return printed.read().decode(), len(os.listdir("/proc/self/task")) - threads


def write(folder: str, name: str) -> DecoderConfig:
    from checkpoints import CONFIGS, read_config, write_checkpoint  # noqa: PLC0415

    write_checkpoint(folder, CONFIGS[name], "float32")
    return read_config(folder)


@pytest.fixture(scope="module")
def sources(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """A checkpoint of each architecture."""
    made = {}
    for name in ("gpt2", "gpt2-untied", "llama", "qwen3"):
        folder = str(tmp_path_factory.mktemp(name))
        (config,) = cluster.group(1).run(write, folder, name)
        made[name] = ModelSource(config, folder, 0, "float32")
    return made


@pytest.fixture(scope="module")
def native(cluster: Cluster, sources: dict[str, ModelSource]) -> dict[str, Run]:
    """What the native engine makes of the checkpoints."""
    return {
        name: cluster.group(1).run(generate, "native:NativeEngine", source)[0]
        for name, source in sources.items()
    }


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        pytest.param(*each.values, name, id=f"{each.id}-{name}", marks=each.marks)
        for each in ENGINES
        for name in ("gpt2", "gpt2-untied", "llama", "qwen3")
        if (each.id, name) not in REFUSED
    ],
)
def test_a_checkpoint_has_the_same_tokens(
    cluster: Cluster, sources: dict[str, ModelSource], native: dict[str, Run], engine: str, name: str
) -> None:
    (run,) = cluster.group(1).run(generate, engine, sources[name])
    assert run.tokens == native[name].tokens
    assert {index: len(row) for index, row in run.tokens.items()} == dict(enumerate((6, 6, 6, 4, 5, 1)))
    if not engine.startswith("ctranslate2"):  # which chooses its tokens itself
        assert (run.sampled, run.penalised) == (native[name].sampled, native[name].penalised)


@EVERY_ENGINE
def test_random_weights_are_the_same_and_nothing_ends_a_text(cluster: Cluster, engine: str) -> None:
    source = ModelSource(THREE_TOKENS, None, 5, "float32")
    requests = tuple(Request(index, (index % 3, 1, 2, index % 2), 20) for index in range(4))
    group = cluster.group(1)
    (expected,) = group.run(generate, "native:NativeEngine", source, requests, Shape(4))
    (run,) = group.run(generate, engine, source, requests, Shape(4))
    assert {token for row in expected.tokens.values() for token in row[:-1]} == {0, 1, 2}
    assert run.tokens == expected.tokens


def test_float64_tokens_are_the_same_with_transformers(cluster: Cluster) -> None:
    source = ModelSource(THREE_TOKENS, None, 5, "float64")
    requests = tuple(Request(index, (index % 3, 1, 2), 20) for index in range(4))
    (expected,) = cluster.group(1).run(generate, "native:NativeEngine", source, requests, Shape(4))
    (run,) = cluster.group(1).run(
        generate, "transformers:EagerTransformersEngine", source, requests, Shape(4)
    )
    assert run.tokens == expected.tokens


@EVERY_ENGINE
def test_replicas_generate_their_own_requests(
    cluster: Cluster, sources: dict[str, ModelSource], native: dict[str, Run], engine: str
) -> None:
    first, second = cluster.group(2).run(
        generate, engine, sources["qwen3"], REQUESTS, Shape(4, layout=Layout(dp=2))
    )
    assert first.tokens | second.tokens == native["qwen3"].tokens
    assert not set(first.tokens) & set(second.tokens)


@EVERY_ENGINE
def test_the_stopwatch_hears_each_token_of_each_microbatch(
    cluster: Cluster, sources: dict[str, ModelSource], native: dict[str, Run], engine: str
) -> None:
    (run,) = cluster.group(1).run(generate, engine, sources["qwen3"], REQUESTS, Shape(6, 3))
    assert run.tokens == native["qwen3"].tokens
    step = ["token 0", "token 2", "token 4"]
    assert run.events == ["begin 0", *step * 5, "token 0", "token 2"]


@EVERY_ENGINE
def test_batches_are_timed_one_after_the_other(
    cluster: Cluster, sources: dict[str, ModelSource], engine: str
) -> None:
    (run,) = cluster.group(1).run(generate, engine, sources["qwen3"], REQUESTS, Shape(3))
    assert run.events == ["begin 0", *["token 0"] * 6, "begin 3", *["token 3"] * 5]


@NEEDS_CTRANSLATE2
@pytest.mark.parametrize("batch_size", [1, 2], ids=["alone", "ragged"])
def test_ctranslate2_shows_the_logits_of_forced_tokens(
    cluster: Cluster, sources: dict[str, ModelSource], batch_size: int
) -> None:
    (errors,) = cluster.group(1).run(logit_errors, sources["gpt2"], batch_size)
    assert len(errors) == sum(request.new_tokens for request in REQUESTS) - (0 if batch_size == 1 else 2 + 4)
    assert max(errors) < 1e-5


@NEEDS_CTRANSLATE2
def test_ctranslate2_says_what_it_chose_and_leaves_no_files(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    (run,) = cluster.group(1).run(generate, "ctranslate2:CTranslate2Engine", sources["gpt2"])
    configuration = dict(run.configuration)
    assert configuration.pop("version")
    assert configuration == {"compute_type": "float32", "intra_threads": 1, "inter_threads": 1}
    assert run.parameter_bytes is None
    assert run.left_behind == []


@NEEDS_CTRANSLATE2
def test_ctranslate2_refuses_in_one_line_what_it_cannot_compute(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    half = replace(sources["gpt2"], dtype="bfloat16")
    with pytest.raises(UsageError, match=r"^ctranslate2 refuses the model: .*bfloat16"):
        cluster.group(1).run(generate, "ctranslate2:CTranslate2Engine", half)


@NEEDS_LLAMA_CPP
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_llama_cpp_has_the_native_logits(
    cluster: Cluster, sources: dict[str, ModelSource], name: str
) -> None:
    (errors,) = cluster.group(1).run(llama_cpp_errors, sources[name])
    assert len(errors) == 6 + 6 + 6 + 6 + 5 + 5
    assert 0 < max(errors) < 1e-5


@NEEDS_LLAMA_CPP
def test_llama_cpps_gpt2_is_near_but_not_what_float32_asks_for(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    (errors,) = cluster.group(1).run(llama_cpp_errors, sources["gpt2"])
    assert 1e-4 < max(errors) < 1e-2  # or the limits need not refuse it


@NEEDS_LLAMA_CPP
def test_llama_cpp_says_what_it_chose_and_leaves_no_files(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    (run,) = cluster.group(1).run(generate, "llama_cpp:LlamaCppEngine", sources["llama"])
    configuration = dict(run.configuration)
    assert configuration.pop("version")
    assert configuration.pop("llama_cpp")
    assert "SSE3" in str(configuration.pop("built_for")) or machine() != "x86_64"
    assert configuration == {"threads": 1, "cache": "float32", "flash_attention": False}
    assert run.parameter_bytes is None
    assert run.left_behind == []


@NEEDS_LLAMA_CPP
def test_llama_cpp_neither_prints_nor_starts_threads_beside_the_ranks_own(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    ((printed, threads),) = cluster.group(1).run(seen_of_llama_cpp, sources["qwen3"])
    assert "llama" not in printed
    assert threads == 0


@NEEDS_LLAMA_CPP
def test_llama_cpp_says_in_one_line_what_it_has_against_a_model(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    size = replace(sources["qwen3"].config.dimensions, attention_bias=True)
    biased = ModelSource(replace(sources["qwen3"].config, dimensions=size), None, 0, "float32")
    with pytest.raises(UsageError, match=r"^llama.cpp refuses the model: .*tensors"):
        cluster.group(1).run(generate, "llama_cpp:LlamaCppEngine", biased)


@pytest.mark.skipif(which("g++") is None, reason="g++ is not installed")
def test_compiled_decode_steps_make_the_same_tokens_for_shapes_known_and_unknown(cluster: Cluster) -> None:
    source = ModelSource(ONE_LAYER, None, 5, "float32")
    group = cluster.group(1)
    for requests in (REQUESTS[:2], REQUESTS[:3]):
        (expected,) = group.run(generate, "native:NativeEngine", source, requests)
        (run,) = group.run(generate, "transformers:TransformersEngine", source, requests)
        assert run.tokens == expected.tokens
        assert run.sampled == expected.sampled
        assert (run.configuration["cache"], run.configuration["compiled"]) == ("static", True)


def test_transformers_says_what_it_chose_and_holds_the_whole_model(
    cluster: Cluster, sources: dict[str, ModelSource]
) -> None:
    (run,) = cluster.group(1).run(generate, "transformers:EagerTransformersEngine", sources["gpt2"])
    configuration = dict(run.configuration)
    assert configuration.pop("version")
    assert configuration == {"attention": "sdpa", "cache": "dynamic", "compiled": False}
    size = sources["gpt2"].config.dimensions
    assert run.parameter_bytes == parameter_bytes(size, Layout(), Layout().coordinates(0), 4)


@pytest.mark.parametrize(
    ("engine", "layout", "said"),
    [
        ("transformers:EagerTransformersEngine", Layout(pp=2), "runs no pipelines here, and dp1·pp2·tp1"),
        pytest.param(
            "ctranslate2:CTranslate2Engine",
            Layout(tp=2),
            "runs whole models here, which dp1·pp1·tp2",
            marks=NEEDS_CTRANSLATE2,
        ),
        pytest.param(
            "llama_cpp:LlamaCppEngine",
            Layout(tp=2),
            "runs whole models here, which dp1·pp1·tp2",
            marks=NEEDS_LLAMA_CPP,
        ),
    ],
)
def test_a_layout_that_divides_the_model_is_refused(
    cluster: Cluster, sources: dict[str, ModelSource], engine: str, layout: Layout, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        cluster.group(2).run(generate, engine, sources["gpt2"], REQUESTS, Shape(layout=layout))
