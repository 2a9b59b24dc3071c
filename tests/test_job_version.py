"""Two versions of the package may meet in an A/B: what they tell each other has a version of its own."""

import hashlib
from dataclasses import fields

from pytest_gpt_dist.cluster.spent import Spent
from pytest_gpt_dist.engines.protocol import Batch, Microbatch, ModelSource, Request, Sampling
from pytest_gpt_dist.measure import job
from pytest_gpt_dist.measure.entry import JOB_VERSION
from pytest_gpt_dist.measure.times import BatchTimes
from pytest_gpt_dist.model.config import DecoderConfig, Rotary
from pytest_gpt_dist.topology import Dimensions, Layout, Traffic

SPOKEN = (
    *(job.CaseJob, job.Check, job.ReferenceRow, job.Timing, job.RankReport, job.RankRound),
    *(Batch, Microbatch, ModelSource, Request, Sampling),
    *(BatchTimes, DecoderConfig, Rotary, Dimensions, Layout, Spent, Traffic),
)
# When this changes, raise JOB_VERSION and put the new pair here.
KNOWN = (6, "dccccccffa3d3f59")


def test_a_changed_field_has_raised_the_version() -> None:
    said = "\n".join(
        f"{kind.__name__}.{field.name}: {field.type}" for kind in SPOKEN for field in fields(kind)
    )
    assert (JOB_VERSION, hashlib.sha256(said.encode()).hexdigest()[:16]) == KNOWN, said
