"""Names by which engines of users were written still mean the same."""

import pytest

from pytest_gpt_dist.engines import protocol as alias
from pytest_gpt_dist.inference.engines import protocol


@pytest.mark.parametrize(("old", "new"), [("Chooser", "Sampler"), ("ChoosesItself", "SamplesItself")])
def test_an_old_name_of_the_protocol_is_the_new_one(old: str, new: str) -> None:
    assert getattr(protocol, old) is getattr(alias, old) is getattr(alias, new) is getattr(protocol, new)
