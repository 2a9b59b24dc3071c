"""A project's folder that cannot be written is found before anything is measured."""

import pytest

from plugin.sessions import WITHOUT, error_line

WHY = "cannot write */.gpt-dist/journal/*: Not a directory; free some space or make it writable"


@pytest.fixture
def unwritable(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose journal cannot be made, whoever runs it: root may write everywhere."""
    pytester.makefile("", **{".gpt-dist": "a file where the folder belongs"})
    pytester.makepyfile("def test_case(gpt_dist): pass")
    return pytester


def test_a_session_that_resumes_does_not_begin(unwritable: pytest.Pytester) -> None:
    line = error_line(unwritable.runpytest_inprocess(*WITHOUT, "--gpt-device=cpu", "--gpt-resume"))
    pytest.LineMatcher([line]).fnmatch_lines([f"--gpt-resume: {WHY}"])


def test_another_one_says_so_before_its_first_test_and_goes_on(unwritable: pytest.Pytester) -> None:
    result = unwritable.runpytest_inprocess(*WITHOUT, "--gpt-device=cpu", "-Werror")
    result.stdout.fnmatch_lines(
        [f"gpt-dist: this session cannot be resumed if it is killed: {WHY}", "test_*.py . *"]
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("flag", ["--benchmark-disable", "--collect-only"])
def test_one_that_times_nothing_needs_no_journal(unwritable: pytest.Pytester, flag: str) -> None:
    result = unwritable.runpytest_inprocess(*WITHOUT, "--gpt-device=cpu", "--gpt-resume", flag)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*cannot*")
