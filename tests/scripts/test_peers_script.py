"""The table of the native engine beside its peers."""

import json
from typing import Any

from scripts.peers.run import Configuration, configurations, summary, table
from scripts.session import ROOT


def engine(tpot_s: float, ttft_s: float) -> dict[str, Any]:
    return {
        "tokens_per_s": 1 / tpot_s, "tpot_s": {"mean": tpot_s}, "ttft_s": {"mean": ttft_s},
        "mbu": 0.5,
    }  # fmt: skip


RESULT = {
    "configuration": {"model": "gpt2", "dtype": "float32", "batch_size": 4, "cores": 1},
    "engines": {
        "native": engine(0.01, 0.2),
        "transformers": engine(0.025, 0.5),
        "transformers-eager": engine(0.03, 0.5),
    },
}


def test_every_model_format_batch_and_number_of_cores_is_a_configuration() -> None:
    found = list(configurations())
    assert len(found) == len(set(found)) == 16
    assert found[0] == Configuration("gpt2", "float32", 1, 1)


def test_a_row_says_how_much_longer_a_peer_takes() -> None:
    rows = {line.split("|")[5].strip(): line.split("|")[6:-1] for line in table([RESULT]).splitlines()[2:]}
    assert [cell.strip() for cell in rows["native"]] == ["100.0", "10.0", "", "200", "", "50%"]
    assert [cell.strip() for cell in rows["transformers"]] == ["40.0", "25.0", "2.50×", "500", "2.50×", "50%"]


def test_an_engine_that_cannot_is_in_the_table_and_not_in_the_summary() -> None:
    assert "| ctranslate2" in table([RESULT])
    assert "cannot" in table([RESULT])
    assert summary([RESULT]).splitlines() == [
        "transformers: 2.50 to 2.50, median 2.50 (1)",
        "transformers-eager: 3.00 to 3.00, median 3.00 (1)",
    ]


def test_the_documentation_shows_the_committed_results() -> None:
    document = (ROOT / "docs" / "performance.md").read_text()
    for name in ("peers_cpu", "peers_llama_cpp_cpu"):
        saved = json.loads((ROOT / "scripts" / "results" / f"{name}.json").read_text())
        assert table(saved["results"], saved["asked"]) in document, name
        assert summary(saved["results"], saved["asked"]) in document, name
