"""What a session without any of this package's cases pays."""

from pathlib import Path

from plugin.sessions import WITHOUT, run_python

LOOK = """
import sys

HEAVY = {
    *("torch", "transformers", "huggingface_hub", "safetensors", "numpy", "scipy", "matplotlib", "jinja2"),
    *("tabulate", "pynvml", "psutil"),
}

def pytest_unconfigure():
    print("imported:", *sorted(HEAVY & set(sys.modules)))
"""


def imported(output: str) -> set[str]:
    """What the session's last look found."""
    (line,) = (line for line in output.splitlines() if line.startswith("imported:"))
    return set(line.split()[1:])


def test_nothing_heavy_is_imported_without_a_case(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(LOOK)
    (tmp_path / "test_other.py").write_text("def test_other(): pass")
    done = run_python(tmp_path, "-m", "pytest", *WITHOUT)
    assert done.returncode == 0, done.stdout
    assert imported(done.stdout) == set()


def test_collecting_the_matrix_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(LOOK)
    (tmp_path / "test_matrix.py").write_text(
        "import pytest\n@pytest.mark.gpt_dist_matrix\ndef test_case(gpt_dist, gpus, strategy, engine): pass\n"
    )
    done = run_python(tmp_path, "-m", "pytest", *WITHOUT, "--collect-only", "--gpt-device=cpu")
    assert "9 tests collected" in done.stdout
    assert imported(done.stdout) & {"torch", "transformers"} == set()
