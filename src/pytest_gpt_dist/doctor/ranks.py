"""Real ranks: whether they start, what torch they have, and whether all of them can talk to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.errors import UsageError, first_line

_TIMEOUT_S = 60.0
_CPU_RANKS = 2


def look_at_ranks(gpus: int) -> Iterator[Finding]:
    """Start a rank on the CPU, and then one on each GPU, or two on the CPU where there is none."""
    try:
        with Cluster(ClusterConfig("cpu", timeout_s=_TIMEOUT_S)) as cluster:
            (build,) = cluster.group(1).run(torch_build)
            yield judge_build(build, gpus)
            if not gpus:
                yield _reduced(cluster, _CPU_RANKS, "gloo")
    except (RankGroupError, UsageError) as error:
        yield Finding("ranks", "fault", first_line(error), "the message above says what is missing")
        return
    if gpus:
        try:
            with Cluster(ClusterConfig("cuda", timeout_s=_TIMEOUT_S)) as cluster:
                yield _reduced(cluster, gpus, "NCCL")
        except (RankGroupError, UsageError) as error:
            yield Finding(
                f"NCCL, {gpus} ranks",
                "fault",
                first_line(error),
                "run again with NCCL_DEBUG=INFO; in a container try --ipc=host",
            )


def torch_build() -> dict[str, Any]:
    """What torch was built for; on a rank."""
    import torch  # noqa: PLC0415  on a rank alone

    return {"version": torch.__version__, "cuda": torch.version.cuda}


def judge_build(build: dict[str, Any], gpus: int) -> Finding:
    """Whether torch's build can use the GPUs that there are; pure."""
    seen = f"{build['version']}, " + (
        f"built for CUDA {build['cuda']}" if build["cuda"] else "built for the CPU"
    )
    if gpus and not build["cuda"]:
        return Finding(
            "torch's build",
            "fault",
            seen,
            "it cannot use the GPUs: install the build for your CUDA from pytorch.org",
        )
    return Finding("torch's build", "ok", seen)


def sum_of_ranks() -> tuple[float, tuple[int, ...]]:
    """An all-reduce of every rank's number plus one, and the cores of this rank; on every rank."""
    import torch  # noqa: PLC0415  on a rank alone
    import torch.distributed as dist  # noqa: PLC0415

    from pytest_gpt_dist.cluster.rank import this_rank  # noqa: PLC0415

    me = this_rank()
    number = torch.tensor([me.rank + 1.0], device=me.device)
    dist.all_reduce(number)
    return number.item(), me.cpus


def _reduced(cluster: Cluster, ranks: int, what: str) -> Finding:
    answers = cluster.group(ranks).run(sum_of_ranks)
    expected = ranks * (ranks + 1) / 2
    subject = f"{what}, {ranks} ranks"
    if any(total != expected for total, _ in answers):
        return Finding(
            subject, "fault", f"an all-reduce came to {answers[0][0]:g}, not {expected:g}", "do not use it"
        )
    pinned = [cpus for _, cpus in answers]
    if what == "gloo" and len(set(pinned)) < ranks:
        return Finding(subject, "warning", "an all-reduce is right, but ranks share cores", "use fewer ranks")
    where = f", each pinned to its cores: {' | '.join(map(_cores, pinned))}" if any(pinned) else ""
    return Finding(subject, "ok", f"an all-reduce between all of them is right{where}")


def _cores(cpus: tuple[int, ...]) -> str:
    return ",".join(map(str, cpus))
