"""Sessions in which engines of other people stand beside the native one."""

from pathlib import Path

from plugin.sessions import TESTS, TINY, Session, run_session

TINY_LLAMA = """\
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.model.presets import Preset

LLAMA = {
    "model_type": "llama",
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 51,
    "max_position_embeddings": 64,
    "vocab_size": 307,
}
TINY = Preset("tiny", DecoderConfig.from_hf(LLAMA, "tiny"), "nobody/tiny", pretrained=False)
"""


def run_beside_native(folder: Path, files: dict[str, str], peers: str, select: str) -> Session:
    """Run the matrix and ``files`` with some peers, the cases that ``select`` names on one and two ranks."""
    matrix = (TESTS.parent / "benchmarks" / "test_inference.py").read_text()
    return run_session(
        folder,
        {"test_inference.py": matrix, **files},
        *TINY,
        f"--gpt-engine=native,{peers}",
        "--gpt-gpus=1,2",
        "--gpt-device=cpu",
        "--benchmark-autosave",
        "-k",
        select,
    )


def name(case: str, engine: str) -> str:
    """What the test of a case and an engine is called."""
    return f"test_generate[{case}-tiny.b2.p6.n8{'' if engine == 'native' else f'-{engine}'}]"
