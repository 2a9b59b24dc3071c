"""What controller, server and ranks say to each other. Change or move one: raise wire.PROTOCOL_VERSION."""

import json
import signal
from dataclasses import asdict, dataclass
from typing import Self

from pytest_gpt_dist.cluster.callables import Parcel
from pytest_gpt_dist.cluster.connect import ControllerAddress
from pytest_gpt_dist.cluster.rank import RankInfo

START = 1
"""The id of the request that a new rank answers when it is ready."""
STACK_SIGNAL = signal.SIGQUIT
"""On this signal a rank writes what its threads are doing into its stack file, as a JVM would."""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where ranks meet: the address of their group's TCP store, and the rank that hosts it.

    `hosted_by` is None where the store stands already, such as that of an elastic agent; `prefix` keeps the keys of
    this group apart from all others in it.
    """

    host: str
    port: int
    hosted_by: int | None = 0
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class RankSpec:
    """All that a new rank needs to know.

    The rank is number `local_rank` of `local_world_size` on machine `node`. It speaks to the `controller`, which it
    connects to, and meets the other ranks at the `rendezvous`.

    `gpu` is the place of its own among those that it sees; None for that of its local rank.

    `device` and `backend` are what the configuration asked for ("cuda", "auto"); what came of it stands in
    the rank's RankInfo. An empty `cpus` leaves the rank where it is. `timeout_s` is the longest silence that the
    controller bears. `log` is the file for all that the
    rank prints, and for what this package logs there, from `log_level` on; `stack` the one where it writes, when
    asked or when it crashes, what it was doing.
    """

    rank: int
    world_size: int
    node: int
    local_rank: int
    local_world_size: int
    controller: ControllerAddress
    rendezvous: Rendezvous
    device: str
    backend: str
    share_gpu: bool
    gpu: int | None
    threads: int
    cpus: tuple[int, ...]
    oversubscribed: bool
    memory_limit_bytes: int | None
    timeout_s: float
    collective_timeout_s: float
    log: str
    log_level: str
    stack: str

    @property
    def death_s(self) -> float:
        """How long the rank, once killed, may take to be gone: a GPU's memory is freed on the way, by its driver."""
        return 1.2 if self.device == "cpu" else 15.0

    @property
    def hosts_the_store(self) -> bool:
        """Whether the other ranks meet at this one."""
        return self.rendezvous.hosted_by == self.rank

    def to_json(self) -> str:
        """Write the specification for a rank that another program starts."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        plain = json.loads(text)
        plain["cpus"] = tuple(plain["cpus"])
        plain["controller"] = ControllerAddress(**plain["controller"])
        plain["rendezvous"] = Rendezvous(**plain["rendezvous"])
        return cls(**plain)


@dataclass(frozen=True, slots=True)
class Fork:
    """Controller to server: start a rank."""

    spec: RankSpec


@dataclass(frozen=True, slots=True)
class Forked:
    """Server to controller: the rank runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Server to controller: a request that could not be served, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Controller to server: have these ranks write down what they are doing."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    """Controller to a member of torchrun's world: its session takes it, and asks it for ranks from now on."""


@dataclass(frozen=True, slots=True)
class Preload:
    """Controller to server: import these modules now, so that ranks find them done."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preloaded:
    """Server to controller: they are imported, as far as they can be."""


@dataclass(frozen=True, slots=True)
class SeesFile:
    """Controller to server: whether there is such a file."""

    path: str


@dataclass(frozen=True, slots=True)
class Sees:
    """Server to controller: whether there is."""

    found: bool


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """Controller to server: what a rank has printed, and its stacks, at most so many bytes of each's end."""

    pid: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Output:
    """Server to controller: the end of what a rank printed, and of its stacks."""

    log: bytes
    stack: bytes


@dataclass(frozen=True, slots=True)
class Kill:
    """Controller to server: kill these ranks and all they started, and clear away what they left."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Killed:
    """Server to controller: nothing of them is left."""


@dataclass(frozen=True, slots=True)
class Exited:
    """Server to controller: a rank ended by itself; `status` is negative for the signal that killed it."""

    pid: int
    status: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Rank to controller: joined the process group."""

    info: RankInfo


@dataclass(frozen=True, slots=True)
class Call:
    """Controller to rank: run a function; the parcel holds (function, arguments).

    With `streams` the function gets a `Stream` as its first argument.
    """

    sys_path: tuple[str, ...]
    parcel: Parcel
    streams: bool = False


@dataclass(frozen=True, slots=True)
class EventToRank:
    """Controller to rank: an event of a task."""

    parcel: Parcel


@dataclass(frozen=True, slots=True)
class EventFromRank:
    """Rank to controller: an event of a task, pickled."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class NoMoreEvents:
    """Controller to rank: this was the last event of a task."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Controller to rank: end the function of a task where it next sends or receives."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Rank to controller: the function has ended because its task was cancelled."""


@dataclass(frozen=True, slots=True)
class Returned:
    """Rank to controller: the function's result, pickled."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """Rank to controller: the function, or getting ready, raised.

    `summary` is one line ("ValueError: boom"), `traceback` the whole text. `out_of_memory` and
    `from_communication` (somebody else went away first) are what the rank knows better than a reader of
    texts. `usage` is the one line of a UsageError: what the user did wrong, which needs no traceback.
    """

    summary: str
    traceback: str
    out_of_memory: bool
    from_communication: bool
    usage: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Controller to rank: leave the process group and end."""
