"""What a session lets go of when it ends."""

import logging
from pathlib import Path

import pytest

from pytest_gpt_dist.ab.other_side import Against, Named
from pytest_gpt_dist.cluster import OWN
from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.registry import Registry
from pytest_gpt_dist.session.benchmark_session import BenchmarkSession


def test_the_log_is_closed_though_the_other_side_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: Against) -> None:
        raise OSError("the worktree is busy")

    monkeypatch.setattr(Against, "close", busy)
    session = BenchmarkSession(
        Options(device="cpu", log_dir=str(tmp_path)), Registry(), tmp_path, timed=False
    )
    session.open_log()
    monkeypatch.setattr(session, "_against", Against(Named("main"), OWN, {}, None))
    with pytest.raises(OSError, match="busy"):
        session.close()
    assert logging.getLogger("pytest_gpt_dist").handlers == []
