"""The machines of a world: how ranks are placed on them, and what follows from that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.gpus import Gpu


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one rank: the machine's number and name, the rank's number there, and the cores that machine has.

    A machine is one agent of torchrun; ``kernel`` is equal where two of them share cores. ``gpu`` is the rank's own,
    None where there is none, ``interconnect`` what joins those of its machine.
    """

    machine: int
    name: str
    local_rank: int
    kernel: str
    cores: Cores
    cpu: str = ""
    driver: str | None = None
    gpu: Gpu | None = None
    interconnect: str | None = None


@dataclass(frozen=True)
class World:
    """All slots, machine by machine, and the NCCL_* variables that are set there."""

    slots: tuple[Slot, ...]
    nccl_variables: tuple[tuple[str, str], ...] = ()

    @cached_property
    def by_machine(self) -> tuple[tuple[int, ...], ...]:
        """Return the numbers of each machine's slots."""
        found: dict[int, list[int]] = {}
        for number, slot in enumerate(self.slots):
            found.setdefault(slot.machine, []).append(number)
        return tuple(tuple(numbers) for _, numbers in sorted(found.items()))

    def placed(self, count: int) -> tuple[int, ...]:
        """Return the slots of so many ranks, by rank: on as few machines as hold them, equal parts where that divides.

        Tensor groups are runs of ranks, so that equal parts cut as few of them as can be.
        """
        rooms = [len(numbers) for numbers in self.by_machine]
        shares = shares_of(count, rooms)
        return tuple(
            slot for numbers, share in zip(self.by_machine, shares, strict=True) for slot in numbers[:share]
        )

    def shares(self, count: int) -> tuple[int, ...]:
        """Return how many of so many ranks each machine has, those without any left out."""
        return tuple(share for share in shares_of(count, [len(each) for each in self.by_machine]) if share)

    def machines(self, count: int) -> int:
        """Return how many machines so many ranks are on."""
        return len(self.shares(count))

    def cut_tensor_groups(self, count: int, tp: int) -> int:
        """Return how many groups of ``tp`` neighbouring ranks do not stay inside a machine."""
        machine = [self.slots[slot].machine for slot in self.placed(count)]
        groups = (machine[start : start + tp] for start in range(0, count, tp))
        return sum(len(set(group)) > 1 for group in groups)

    def cores(self, count: int, threads: int) -> tuple[tuple[int, ...], ...]:
        """Return the cores of each rank: machines that share a kernel are dealt other ones, as far as there are."""
        dealt: dict[str, int] = {}
        found = []
        for number in self.placed(count):
            slot = self.slots[number]
            place = dealt.get(slot.kernel, 0)
            dealt[slot.kernel] = place + 1
            found.append(slot.cores.of_rank(place, threads))
        return tuple(found)

    def oversubscribed(self, count: int, threads: int) -> bool:
        """Return whether so many ranks want more cores anywhere than there are."""
        kernels: dict[str, list[Slot]] = {}
        for number in self.placed(count):
            kernels.setdefault(self.slots[number].kernel, []).append(self.slots[number])
        return any(slots[0].cores.oversubscribed(len(slots), threads) for slots in kernels.values())

    def interconnect(self, count: int) -> str | None:
        """Return what joins the devices of so many ranks: a network where they are on several machines."""
        return "network" if self.machines(count) > 1 else self.slots[0].interconnect


def shares_of(count: int, rooms: Sequence[int]) -> list[int]:
    """Return how many of ``count`` ranks each machine gets, the first machines first.

    Of the fewest machines that hold them, or a few more, equal parts; where no number of machines divides them, the
    machines are filled one after the other. ValueError where there is no room.
    """
    if count > sum(rooms):
        raise ValueError(f"{count} ranks do not fit into {sum(rooms)}")
    for machines in range(1, len(rooms) + 1):
        share, rest = divmod(count, machines)
        if not rest and all(share <= room for room in rooms[:machines]):
            return [share] * machines + [0] * (len(rooms) - machines)
    shares = []
    for room in rooms:
        shares.append(min(room, count))
        count -= shares[-1]
    return shares
