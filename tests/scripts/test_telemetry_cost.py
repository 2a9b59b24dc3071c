"""What the document says that watching costs is what was measured."""

import json

from plugin.sessions import TESTS


def test_the_document_has_the_committed_figures() -> None:
    root = TESTS.parent
    cost = json.loads((root / "scripts/results/telemetry_cost.json").read_text())
    said = " ".join((root / "docs/performance.md").read_text().split())
    low, high = cost["effect_95_interval"]
    share = cost["look_cpu_s"] / cost["interval_s"]
    assert (
        f"takes {cost['look_cpu_s'] * 1e3:.2f} ms of a core, twice a second: {share * 100:.2f} % of one core"
        in said
    )
    assert f"{cost['effect'] * 100:+.1f} % more time for a token" in said
    assert f"{low * 100:+.1f} to {high * 100:+.1f} % over {len(cost['pairs'])} pairs" in said
    assert share < 0.01
