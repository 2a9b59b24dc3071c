"""What the launches of a case came to beside their times: means, peaks and totals over the rounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from pytest_gpt_dist.telemetry.alerts import Alert, worst
from pytest_gpt_dist.telemetry.counters import growth, rates
from pytest_gpt_dist.telemetry.disturbances import others, others_on_owned
from pytest_gpt_dist.telemetry.energy import energy_j
from pytest_gpt_dist.telemetry.observation import Figure, Observation
from pytest_gpt_dist.telemetry.reading import Reading


@dataclass(frozen=True)
class Extent:
    """Mean and largest value."""

    mean: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Extent | None:
        """Return the extent of values; None if there are none."""
        return cls(fmean(values), max(values)) if values else None


@dataclass(frozen=True)
class RankSummary:
    """Of one rank's process; ``cpu`` in cores."""

    cpu: Extent | None
    memory_bytes: Extent | None
    voluntary_switches_per_s: Extent | None
    involuntary_switches_per_s: Extent | None


@dataclass(frozen=True)
class HostSummary:
    """Of the machine: ``cpu``, ``cpu_others`` (all but the ranks) and ``memory`` are shares of all of it.

    ``owned_others`` is the share of the ranks' own cores that all but the ranks took.
    """

    cpu: Extent | None
    cpu_others: Extent | None
    owned_others: Extent | None
    throttled_s: float | None
    memory: Extent | None
    swapped_in_bytes: float | None
    swapped_out_bytes: float | None
    disk_read_bytes: float | None
    disk_written_bytes: float | None
    network_received_bytes: float | None
    network_sent_bytes: float | None
    energy_j: float | None


@dataclass(frozen=True)
class GpuSummary:
    """Of one GPU; ``throttling`` is the share of readings by reason, those alone that were seen."""

    utilization: Extent | None
    memory_bytes: Extent | None
    power_w: Extent | None
    energy_j: float | None
    sm_clock_hz: Extent | None
    memory_clock_hz: Extent | None
    temperature_c: Extent | None
    throttling: dict[str, float] | None
    nvlink_sent_bytes_per_s: Extent | None
    nvlink_received_bytes_per_s: Extent | None
    pcie_sent_bytes_per_s: Extent | None
    pcie_received_bytes_per_s: Extent | None


@dataclass(frozen=True)
class Series:
    """Every reading of one launch, its time counted from the beginning of the rounds, which took ``span_s``."""

    span_s: float
    readings: tuple[Reading, ...]

    @classmethod
    def of(cls, observation: Observation) -> Series:
        """Return the series of a launch."""
        start_s = observation.start_s
        shifted = (replace(reading, at_s=reading.at_s - start_s) for reading in observation.readings)
        return cls(observation.span_s, tuple(shifted))


@dataclass(frozen=True)
class Telemetry:
    """Over the timed rounds of all launches, ``span_s`` seconds in which ``readings`` fell; alerts of all their time.

    ``series``, by launch, only where it was asked for.
    """

    span_s: float
    readings: int
    ranks: tuple[RankSummary, ...]
    host: HostSummary
    gpus: tuple[GpuSummary, ...]
    alerts: tuple[Alert, ...]
    series: tuple[Series, ...] | None = None

    @property
    def utilization(self) -> float | None:
        """The mean of the GPUs' utilisation, 0 to 1; None where one does not tell, or there is none."""
        known = [gpu.utilization.mean for gpu in self.gpus if gpu.utilization is not None]
        return fmean(known) if known and len(known) == len(self.gpus) else None

    @property
    def energy_j(self) -> float | None:
        """Joules of all GPUs; on the CPU of the processors' packages, whoever used them. None if one is unknown."""
        if not self.gpus:
            return self.host.energy_j
        return _total(gpu.energy_j for gpu in self.gpus)

    def as_dict(self) -> dict[str, Any]:
        """As it is saved: plain JSON."""
        return asdict(self)


def summarize(observations: Sequence[Observation], *, keep_series: bool = False) -> Telemetry | None:
    """Sum up launches of one case; None where nothing was observed."""
    if not observations:
        return None
    last = observations[-1].readings[-1]
    return Telemetry(
        span_s=sum(each.span_s for each in observations),
        readings=sum(len(each.inside) for each in observations),
        ranks=tuple(_rank(observations, number) for number in range(len(last.ranks))),
        host=_host(observations),
        gpus=tuple(_gpu(observations, number) for number in range(len(last.gpus))),
        alerts=tuple(worst(alert for each in observations for alert in each.alerts)),
        series=tuple(map(Series.of, observations)) if keep_series else None,
    )


def _rank(observations: Sequence[Observation], number: int) -> RankSummary:
    def of(name: str) -> Figure:
        return lambda reading: getattr(reading.ranks[number], name)

    return RankSummary(
        cpu=_rate(observations, of("cpu_s")),
        memory_bytes=_gauge(observations, of("memory_bytes")),
        voluntary_switches_per_s=_rate(observations, of("voluntary_switches")),
        involuntary_switches_per_s=_rate(observations, of("involuntary_switches")),
    )


def _host(observations: Sequence[Observation]) -> HostSummary:
    def of(name: str) -> Figure:
        return lambda reading: getattr(reading.host, name)

    cores = observations[-1].readings[-1].host.cores
    busy = [min(1.0, rate / cores) for each in observations for rate in _rates(each, of("busy_s"))]
    return HostSummary(
        cpu=Extent.of(busy),
        cpu_others=Extent.of([share for each in observations for share in others(each)]),
        owned_others=Extent.of([share for each in observations for share in others_on_owned(each)]),
        throttled_s=_growth(observations, of("throttled_s")),
        memory=_gauge(observations, of("memory_share")),
        swapped_in_bytes=_growth(observations, of("swapped_in_bytes")),
        swapped_out_bytes=_growth(observations, of("swapped_out_bytes")),
        disk_read_bytes=_growth(observations, of("disk_read_bytes")),
        disk_written_bytes=_growth(observations, of("disk_written_bytes")),
        network_received_bytes=_growth(observations, of("network_received_bytes")),
        network_sent_bytes=_growth(observations, of("network_sent_bytes")),
        energy_j=_growth(observations, of("energy_j")),
    )


def _gpu(observations: Sequence[Observation], number: int) -> GpuSummary:
    def of(name: str) -> Figure:
        return lambda reading: getattr(reading.gpus[number], name)

    return GpuSummary(
        utilization=_gauge(observations, of("utilization")),
        memory_bytes=_gauge(observations, of("memory_bytes")),
        power_w=_gauge(observations, of("power_w")),
        energy_j=_total(
            energy_j(each.points(of("energy_j")), each.points(of("power_w")), each.start_s, each.end_s)
            for each in observations
        ),
        sm_clock_hz=_gauge(observations, of("sm_clock_hz")),
        memory_clock_hz=_gauge(observations, of("memory_clock_hz")),
        temperature_c=_gauge(observations, of("temperature_c")),
        throttling=_throttling(observations, number),
        nvlink_sent_bytes_per_s=_rate(observations, of("nvlink_sent_bytes")),
        nvlink_received_bytes_per_s=_rate(observations, of("nvlink_received_bytes")),
        pcie_sent_bytes_per_s=_rate(observations, of("pcie_sent_bytes")),
        pcie_received_bytes_per_s=_rate(observations, of("pcie_received_bytes")),
    )


def _throttling(observations: Sequence[Observation], number: int) -> dict[str, float] | None:
    seen = [reading.gpus[number].throttling for each in observations for reading in each.inside]
    known = [reasons for reasons in seen if reasons is not None]
    names = dict.fromkeys(name for reasons in known for name in reasons)
    return {name: fmean(name in reasons for reasons in known) for name in names} if known else None


def _gauge(observations: Sequence[Observation], figure: Figure) -> Extent | None:
    values = (figure(reading) for each in observations for reading in each.inside)
    return Extent.of([value for value in values if value is not None])


def _rate(observations: Sequence[Observation], figure: Figure) -> Extent | None:
    return Extent.of([rate for each in observations for rate in _rates(each, figure)])


def _rates(observation: Observation, figure: Figure) -> list[float]:
    return rates(observation.points(figure), observation.start_s, observation.end_s)


def _growth(observations: Sequence[Observation], figure: Figure) -> float | None:
    return _total(growth(each.points(figure), each.start_s, each.end_s) for each in observations)


def _total(values: Iterable[float | None]) -> float | None:
    """Return the sum, None if one of them is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
