"""What certificates are of."""

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.training.case import TrainingCase
from pytest_gpt_dist.training.exactness.certificate import Certified, certificate_case, certified
from pytest_gpt_dist.training.model_parallel_strategies import PipelineGPipe, TensorDataHybrid
from pytest_gpt_dist.training.strategies import Ddp, Hsdp, Zero3
from pytest_gpt_dist.training.strategy import TrainingStrategy
from pytest_gpt_dist.training.workload import TrainingWorkload
from trainings import job_of, work_of


def of(strategy: TrainingStrategy, gpus: int) -> Certified:
    job = job_of(strategy, gpus, work_of("gpt2"))
    case = TrainingCase(
        strategy.name,
        job.plan,
        None,
        "native",
        job.divider,
        TrainingWorkload.of(Options(), "cpu"),
        job.work,
        job.batches,
        "small",
    )
    return certified(certificate_case(case))


def test_device_counts_share_a_certificate_where_a_strategy_divides_along_the_same_axes() -> None:
    for strategy in (Ddp(), Zero3(), PipelineGPipe()):
        assert of(strategy, 2) == of(strategy, 4)
    assert of(TensorDataHybrid(), 2) != of(TensorDataHybrid(), 4)
    assert len({of(Ddp(), 4), of(Zero3(), 4), of(Hsdp(), 4), of(PipelineGPipe(), 4)}) == 4
