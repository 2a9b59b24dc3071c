"""The thread that looks at the machine beside the ranks."""

import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from patience import HANG_S
from pytest_gpt_dist.config.thresholds import Threshold
from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.reading import Reading
from pytest_gpt_dist.telemetry.sampler import Sampler
from pytest_gpt_dist.telemetry.source import Source
from readings import reading

THREAD = "gpt-dist-telemetry"
LIMITS = [Threshold("host_memory", 80.0)]


class Recorded:
    """A source that shows memory shares one after the other, a second apart, the last of them for ever."""

    def __init__(self, *shares: float) -> None:
        self._shares = shares
        self.looks = 0
        self.through = threading.Event()
        self.closed = False
        self.threads: set[str] = set()

    def read(self) -> Reading:
        assert not self.closed
        self.threads.add(threading.current_thread().name)
        share = self._shares[min(self.looks, len(self._shares) - 1)]
        self.looks += 1
        if self.looks > len(self._shares):
            self.through.set()
        return reading(float(self.looks), memory_share=share)

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True


def seen(sampler: Sampler) -> Observation:
    found = sampler.observation(0.0, 1.0)
    assert found is not None
    return found


def watching() -> bool:
    return THREAD in {thread.name for thread in threading.enumerate()}


def test_there_is_a_look_before_some_during_and_one_after() -> None:
    source = Recorded(0.1, 0.2, 0.3)
    with Sampler(lambda: source, interval_s=0.001) as sampler:
        assert source.looks >= 1
        assert source.through.wait(HANG_S)
    assert [one.at_s for one in seen(sampler).readings] == [1.0 + number for number in range(source.looks)]
    assert source.closed
    assert not watching()


def test_short_work_is_seen_before_and_after() -> None:
    with Sampler(lambda: Recorded(0.1), interval_s=3600) as sampler:
        pass
    assert [one.at_s for one in seen(sampler).readings] == [1.0, 2.0]


def test_the_last_look_is_taken_when_the_work_fails() -> None:
    source = Recorded(0.1)
    with pytest.raises(KeyError), Sampler(lambda: source, interval_s=3600):
        raise KeyError
    assert (source.looks, source.closed) == (2, True)


def test_the_source_is_opened_read_and_closed_beside_the_work() -> None:
    source = Recorded(0.1, 0.2)

    def opened() -> Source:
        source.threads.add(threading.current_thread().name)
        return source

    with Sampler(opened, interval_s=3600):
        pass
    assert source.threads == {THREAD}


def test_a_driver_that_hangs_holds_up_neither_end() -> None:
    answer = threading.Event()

    class Hanging(Recorded):
        def read(self) -> Reading:
            answer.wait(HANG_S)
            return super().read()

    with Sampler(lambda: Hanging(0.1), patience_s=0.001) as sampler:
        assert sampler.announced("round 1") == "round 1"
    assert sampler.observation(0.0, 1.0) is None
    answer.set()


class Failing(Recorded):
    """Fails in the look of that number, from 1, or when it is closed (0)."""

    def __init__(self, wrong: int) -> None:
        super().__init__(0.1, 0.1, 0.1)
        self._wrong = wrong

    def read(self) -> Reading:
        found = super().read()
        if self.looks == self._wrong:
            raise RuntimeWarning("no memory to tell of")
        return found

    def close(self) -> None:
        super().close()
        if self._wrong == 0:
            raise OSError("cannot be closed")


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_a_look_that_fails_is_left_out_and_the_others_are_taken(wrong: int) -> None:
    source = Failing(wrong)
    with Sampler(lambda: source, interval_s=0.001) as sampler:
        assert source.through.wait(HANG_S)
    looks = [number for number in range(1, source.looks + 1) if number != wrong]
    assert [one.at_s for one in seen(sampler).readings] == looks
    assert source.closed


def nothing() -> NoReturn:
    raise RuntimeError("no driver")


@pytest.mark.parametrize("open_source", [nothing, lambda: Failing(0)], ids=["open", "close"])
def test_what_fails_of_a_source_does_not_hide_the_error_of_the_work(
    open_source: Callable[[], Source],
) -> None:
    with pytest.raises(KeyError, match="rank"), Sampler(open_source, interval_s=3600):
        raise KeyError("rank")


def test_a_source_that_cannot_be_opened_has_seen_nothing() -> None:
    with Sampler(nothing) as sampler:
        pass
    assert sampler.observation(0.0, 1.0) is None


def test_an_alert_is_announced_while_it_lasts() -> None:
    with Sampler(lambda: Recorded(0.95), LIMITS, interval_s=3600) as sampler:
        assert sampler.announced("round 1") == "! host memory 95% · round 1"
    source = Recorded(0.95, 0.5)
    with Sampler(lambda: source, LIMITS, interval_s=0.001) as sampler:
        assert source.through.wait(HANG_S)
    assert sampler.announced("round 2") == "round 2"


def test_an_alert_that_has_passed_is_remembered_at_its_worst() -> None:
    source = Recorded(0.5, 0.95, 0.9, 0.5)
    with Sampler(lambda: source, LIMITS, interval_s=0.001) as sampler:
        assert source.through.wait(HANG_S)
    (alert,) = seen(sampler).alerts
    assert alert.value == pytest.approx(95)
