"""The README's examples do what it says."""

import re
from pathlib import Path

from plugin.sessions import TESTS, run_session

README = (TESTS.parent / "README.md").read_text()


def test_the_readmes_tests_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    examples = [block for block in blocks if "def test_" in block and "matrix" not in block]
    assert len(examples) == 2
    session = run_session(tmp_path, {"test_readme.py": "\n".join(examples)}, "--gpt-rounds=1")
    assert {name: test.outcome for name, test in session.tests.items()} == {
        "test_single_requests": "passed",
        "test_all_reduce": "passed",
    }, session.output


def test_every_option_that_the_documents_name_exists() -> None:
    from pytest_gpt_dist.settings import declarations, flag  # noqa: PLC0415

    documents = README + (TESTS.parent / "docs" / "migrating.md").read_text()
    named = set(re.findall(r"--gpt-[a-z][a-z-]*", documents))
    assert named <= {flag(name) for name, _ in declarations()}


def test_every_key_that_is_saved_is_documented() -> None:
    from pytest_gpt_dist.measure import result  # noqa: PLC0415

    source = Path(result.__file__).read_text()
    saved = set(re.findall(r'^        "([a-z_]+)":', source, re.MULTILINE))
    documented = set(re.findall(r"`([a-z_]+)`", (TESTS.parent / "docs" / "metrics.md").read_text()))
    assert saved
    assert saved <= documented
