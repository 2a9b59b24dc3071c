"""Models by name: the published shapes of GPT-2, Llama and Qwen3 models, and a small GPT-2 for the CPU."""

from dataclasses import dataclass

from pytest_gpt_dist.model.config import DecoderConfig, Llama3Scaling, Rotary
from pytest_gpt_dist.parallel import Dimensions


@dataclass(frozen=True, slots=True)
class Preset:
    """A shape with a name.

    Attributes:
        name: what it is called on the command line.
        config: its shape.
        hub: where its tokenizer and its trained weights are on the Hugging Face hub; None where it has neither.
        pretrained: whether there are trained weights of this shape at all.
    """

    name: str
    config: DecoderConfig
    hub: str | None
    pretrained: bool = True


def _gpt2(name: str, hub: str, *, hidden: int, heads: int, layers: int, pretrained: bool = True) -> Preset:
    dimensions = Dimensions(
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        hidden=hidden,
        mlp=4 * hidden,
        vocabulary=50257,
        positions=1024,
        learned_positions=True,
        tied=True,
        gated=False,
        attention_bias=True,
        mlp_bias=True,
        norm_bias=True,
    )
    return Preset(name, DecoderConfig("gpt2", dimensions, "gelu_tanh", 1e-5, rotary=None), hub, pretrained)


def _llama(
    name: str,
    hub: str,
    *,
    hidden: int,
    heads: int,
    kv_heads: int,
    layers: int,
    mlp: int,
    vocabulary: int,
    positions: int,
    rotary: Rotary,
    tied: bool = False,
) -> Preset:
    dimensions = Dimensions(
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        hidden=hidden,
        mlp=mlp,
        vocabulary=vocabulary,
        positions=positions,
        tied=tied,
    )
    return Preset(name, DecoderConfig("llama", dimensions, "silu", 1e-5, rotary), hub)


def _qwen3(
    name: str, hub: str, *, hidden: int, heads: int, layers: int, mlp: int, tied: bool = False
) -> Preset:
    dimensions = Dimensions(
        layers=layers,
        heads=heads,
        kv_heads=8,
        head_dim=128,
        hidden=hidden,
        mlp=mlp,
        vocabulary=151936,
        positions=40960,
        tied=tied,
        qk_norm=True,
    )
    return Preset(name, DecoderConfig("qwen3", dimensions, "silu", 1e-6, Rotary(1e6)), hub)


def _small_qwen3(name: str, *, hidden: int, heads: int, layers: int, mlp: int, vocabulary: int) -> Preset:
    """Return a shape of Qwen3's architecture of which there are no weights, for trainings on small machines."""
    dimensions = Dimensions(
        layers=layers,
        heads=heads,
        kv_heads=heads // 2,
        head_dim=hidden // heads,
        hidden=hidden,
        mlp=mlp,
        vocabulary=vocabulary,
        positions=4096,
        tied=True,
        qk_norm=True,
    )
    config = DecoderConfig("qwen3", dimensions, "silu", 1e-6, Rotary(1e6))
    return Preset(name, config, None, pretrained=False)


def _llama3(factor: float) -> Rotary:
    return Rotary(500000.0, Llama3Scaling(factor, 1.0, 4.0, 8192))


# Five heads and six layers, so that tensor and pipeline parallelism meet shares that do not divide.
GPT2_MINI = _gpt2("gpt2-mini", "openai-community/gpt2", hidden=320, heads=5, layers=6, pretrained=False)
GPT2 = _gpt2("gpt2", "openai-community/gpt2", hidden=768, heads=12, layers=12)
GPT2_MEDIUM = _gpt2("gpt2-medium", "openai-community/gpt2-medium", hidden=1024, heads=16, layers=24)
GPT2_LARGE = _gpt2("gpt2-large", "openai-community/gpt2-large", hidden=1280, heads=20, layers=36)
GPT2_XL = _gpt2("gpt2-xl", "openai-community/gpt2-xl", hidden=1600, heads=25, layers=48)

SMOLLM2_135M = _llama(
    "smollm2-135m",
    "HuggingFaceTB/SmolLM2-135M",
    hidden=576,
    heads=9,
    kv_heads=3,
    layers=30,
    mlp=1536,
    vocabulary=49152,
    positions=8192,
    rotary=Rotary(100000.0),
    tied=True,
)
SMOLLM2_360M = _llama(
    "smollm2-360m",
    "HuggingFaceTB/SmolLM2-360M",
    hidden=960,
    heads=15,
    kv_heads=5,
    layers=32,
    mlp=2560,
    vocabulary=49152,
    positions=8192,
    rotary=Rotary(100000.0),
    tied=True,
)
TINYLLAMA_1_1B = _llama(
    "tinyllama-1.1b",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    hidden=2048,
    heads=32,
    kv_heads=4,
    layers=22,
    mlp=5632,
    vocabulary=32000,
    positions=2048,
    rotary=Rotary(10000.0),
)
LLAMA_3_2_1B = _llama(
    "llama-3.2-1b",
    "meta-llama/Llama-3.2-1B",
    hidden=2048,
    heads=32,
    kv_heads=8,
    layers=16,
    mlp=8192,
    vocabulary=128256,
    positions=131072,
    rotary=_llama3(32.0),
    tied=True,
)
LLAMA_3_2_3B = _llama(
    "llama-3.2-3b",
    "meta-llama/Llama-3.2-3B",
    hidden=3072,
    heads=24,
    kv_heads=8,
    layers=28,
    mlp=8192,
    vocabulary=128256,
    positions=131072,
    rotary=_llama3(32.0),
    tied=True,
)
LLAMA_2_7B = _llama(
    "llama-2-7b",
    "meta-llama/Llama-2-7b-hf",
    hidden=4096,
    heads=32,
    kv_heads=32,
    layers=32,
    mlp=11008,
    vocabulary=32000,
    positions=4096,
    rotary=Rotary(10000.0),
)
LLAMA_3_1_8B = _llama(
    "llama-3.1-8b",
    "meta-llama/Llama-3.1-8B",
    hidden=4096,
    heads=32,
    kv_heads=8,
    layers=32,
    mlp=14336,
    vocabulary=128256,
    positions=131072,
    rotary=_llama3(8.0),
)
LLAMA_3_1_70B = _llama(
    "llama-3.1-70b",
    "meta-llama/Llama-3.1-70B",
    hidden=8192,
    heads=64,
    kv_heads=8,
    layers=80,
    mlp=28672,
    vocabulary=128256,
    positions=131072,
    rotary=_llama3(8.0),
)

QWEN3_0_6B = _qwen3("qwen3-0.6b", "Qwen/Qwen3-0.6B", hidden=1024, heads=16, layers=28, mlp=3072, tied=True)
QWEN3_1_7B = _qwen3("qwen3-1.7b", "Qwen/Qwen3-1.7B", hidden=2048, heads=16, layers=28, mlp=6144, tied=True)
QWEN3_4B = _qwen3("qwen3-4b", "Qwen/Qwen3-4B", hidden=2560, heads=32, layers=36, mlp=9728, tied=True)
QWEN3_8B = _qwen3("qwen3-8b", "Qwen/Qwen3-8B", hidden=4096, heads=32, layers=36, mlp=12288)
QWEN3_14B = _qwen3("qwen3-14b", "Qwen/Qwen3-14B", hidden=5120, heads=40, layers=40, mlp=17408)
QWEN3_32B = _qwen3("qwen3-32b", "Qwen/Qwen3-32B", hidden=5120, heads=64, layers=64, mlp=25600)

# Eight layers, so that stages and their interleaved halves have some. 1.8, 26, 110 and 335 million parameters.
QWEN3_TINY = _small_qwen3("qwen3-tiny", hidden=128, heads=4, layers=8, mlp=384, vocabulary=2048)
QWEN3_SMALL = _small_qwen3("qwen3-small", hidden=384, heads=6, layers=8, mlp=1152, vocabulary=32000)
QWEN3_MEDIUM = _small_qwen3("qwen3-medium", hidden=768, heads=12, layers=12, mlp=2304, vocabulary=32000)
QWEN3_LARGE = _small_qwen3("qwen3-large", hidden=1024, heads=16, layers=24, mlp=3072, vocabulary=32000)
