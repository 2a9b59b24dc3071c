"""Real ranks: whether they start, what torch they have, and whether all of them can talk to each other."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroupError
from pytest_gpt_dist.cluster.messages import Raised
from pytest_gpt_dist.doctor.finding import Finding
from pytest_gpt_dist.errors import UsageError, counted, first_line
from pytest_gpt_dist.host.gpus import driver_cuda
from pytest_gpt_dist.host.machine import nccl_version

_TIMEOUT_S = 60.0
_CPU_RANKS = 2
_CUDA_REMEDY = (
    "python -c 'import torch; torch.cuda.init()' says more; after an update of the driver restart the machine,"
    " and where GPUs are joined by NVSwitch start nvidia-fabricmanager"
)


def look_at_ranks(gpus: int) -> Iterator[Finding]:
    """Start a rank on the CPU, and then one on each GPU, or two on the CPU where there is none."""
    with _kept_after_a_fault() as folder:
        try:
            with _cluster("cpu", folder) as cluster:
                (build,) = cluster.group(1).run(torch_build)
                judged = judge_build(build, gpus, _driver_cuda() if gpus else None)
                yield judged
                if not gpus:
                    yield _reduced(cluster, _CPU_RANKS, "gloo")
        except RankGroupError as error:
            yield fault("ranks", error, folder)
            return
        if not gpus or judged.state == "fault":
            return
        yield Finding("NCCL", "ok", nccl_version() or "not of a package, so its version is not known")
        try:
            with _cluster("cuda", folder) as cluster:
                yield _reduced(cluster, gpus, "NCCL")
        except UsageError as error:
            yield Finding(_subject("NCCL", gpus), "fault", str(error), _CUDA_REMEDY)
        except RankGroupError as error:
            hint = "NCCL_DEBUG=INFO says more; in a container try --ipc=host"
            yield fault(_subject("NCCL", gpus), error, folder, hint)


def fault(subject: str, error: RankGroupError, folder: Path, hint: str = "") -> Finding:
    """Return what happened to ranks, and the last that was said by one to blame; all there is goes into a file."""
    report = folder / "failure.txt"
    report.write_text(f"{error}\n", errors="backslashreplace")
    seen = first_line(error).removesuffix("; it said:")
    if said := last_words(error):
        seen += f"; it said last: {said}"
    return Finding(
        subject, "fault", seen, f"all that is known is in {report}" + (f"; {hint}" if hint else "")
    )


def last_words(error: RankGroupError) -> str:
    """Return the line that says most of what was printed by a rank to blame, or by whoever was to start it.

    That is the end of a traceback, or else the last line; "" for a rank that raised, as the error says what.
    """
    blamed = [each for each in error.reports if each.rank in error.ranks]
    if blamed and isinstance(blamed[0].outcome, Raised):
        return ""
    lines = (blamed[0].output if blamed else str(error).partition("\n")[2]).strip().splitlines()
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (raised or lines or [""])[-1].strip()


def torch_build() -> dict[str, Any]:
    """Return what torch was built for; on a rank."""
    import torch  # noqa: PLC0415  on a rank alone

    return {"version": torch.__version__, "cuda": torch.version.cuda}


def judge_build(build: dict[str, Any], gpus: int, driver: tuple[int, int] | None = None) -> Finding:
    """Whether torch's build can use the GPUs that there are, with a driver for CUDA up to a version; pure.

    A driver takes every minor version of its major one, and all older ones.
    """
    cuda = build["cuda"]
    seen = f"{build['version']}, built for {f'CUDA {cuda}' if cuda else 'the CPU'}"
    if not gpus:
        return Finding("torch's build", "ok", seen)
    if not cuda:
        remedy = "it cannot use the GPUs: install the build for your CUDA from pytorch.org"
        return Finding("torch's build", "fault", seen, remedy)
    if driver is not None and int(cuda.partition(".")[0]) > driver[0]:
        newest = f"{driver[0]}.{driver[1]}"
        return Finding(
            "torch's build",
            "fault",
            f"{seen}, and the driver is for CUDA up to {newest}",
            f"update the driver, or install torch's build for CUDA {newest} or older from pytorch.org",
        )
    return Finding("torch's build", "ok", seen)


def sum_of_ranks() -> tuple[float, tuple[int, ...]]:
    """Return an all-reduce of every rank's number plus one, and the cores of this rank; on every rank."""
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
    subject = _subject(what, ranks)
    if any(total != expected for total, _ in answers):
        return Finding(
            subject, "fault", f"an all-reduce came to {answers[0][0]:g}, not {expected:g}", "do not use it"
        )
    pinned = [cpus for _, cpus in answers]
    if what == "gloo" and len(set(pinned)) < ranks:
        return Finding(subject, "warning", "an all-reduce is right, but ranks share cores", "use fewer ranks")
    where = f", each pinned to its cores: {' | '.join(map(_cores, pinned))}" if any(pinned) else ""
    return Finding(subject, "ok", f"an all-reduce between all of them is right{where}")


def _subject(what: str, ranks: int) -> str:
    return f"{what}, {counted(ranks, 'rank')}"


def _cores(cpus: tuple[int, ...]) -> str:
    return ",".join(map(str, cpus))


def _cluster(device: Literal["cpu", "cuda"], folder: Path) -> Cluster:
    return Cluster(ClusterConfig(device, timeout_s=_TIMEOUT_S, log_dir=folder))


def _driver_cuda() -> tuple[int, int] | None:
    """None where NVML does not tell, which is a finding of its own."""
    with suppress(UsageError):
        return driver_cuda()
    return None


@contextmanager
def _kept_after_a_fault() -> Iterator[Path]:
    """Yield a new folder for what ranks print, which is removed where nothing went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="gpt-dist-doctor-"))
    try:
        yield folder
    finally:
        if not (folder / "failure.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
