"""What a session lets go of when it ends."""

import logging
from pathlib import Path

import pytest

from pytest_gpt_dist.against import Against, Named
from pytest_gpt_dist.bench import Bench
from pytest_gpt_dist.cluster import OWN
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.settings import Options


def test_the_log_is_closed_though_the_other_side_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: Against) -> None:
        raise OSError("the worktree is busy")

    monkeypatch.setattr(Against, "close", busy)
    bench = Bench(Options(device="cpu", log_dir=str(tmp_path)), Registry(), tmp_path, timed=False)
    bench.open_log()
    monkeypatch.setattr(bench, "_against", Against(Named("main"), OWN, {}, None))
    with pytest.raises(OSError, match="busy"):
        bench.close()
    assert logging.getLogger("pytest_gpt_dist").handlers == []
