"""Which faults there are, and which of them a seed chooses: values alone, which nothing here carries out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from soak.cases import CASES

Moment = Literal["start", "before", "within", "saving"]
Scope = Literal["case", "session", "resumed"]
"""Who is hit: one case; any case of the session; a session that is resumed afterwards."""
CALLS = 3
SHARED = 3
"""As many faults that hit one case each are in one session."""

DAMAGES = ("cut", "nested", "of other types", "binary", "with 1e400")
"""How files are damaged."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: what happens, for people.
        when: before a case, within one, while results are saved, or as the session starts.
        inject: who injects it, and how, separated by a colon.
        cause: what a case that it hits must say, as a regular expression; "" where it must be survived.
        survived: whether the case may as well pass.
        scope: who is hit.
        as_root: whether only root can inject it.
        also: what else is done to the session's folder before it is resumed or started.
    """

    name: str
    when: Moment
    inject: str
    cause: str = ""
    survived: bool = False
    scope: Scope = "case"
    as_root: bool = False
    also: str = ""


@dataclass(frozen=True)
class Fault:
    """One fault of a soak, which its seed and number repeat."""

    number: int
    kind: Kind
    case: str
    call: int
    rank: int

    @property
    def gate(self) -> str:
        """The moment at which it is injected; "" for the start."""
        match self.kind.when:
            case "start" | "saving":
                return self.kind.when
            case "before":
                return f"{self.case}.before"
            case "within":
                return f"{self.case}.within{self.call}"

    def __str__(self) -> str:
        place = "" if self.kind.when in ("start", "saving") else f" · {self.gate}"
        return f"{self.kind.name}{place}"


_ROOM = r"(?i)no space left|disk (is )?full|file too large|read-only|cannot (be )?writ"
_GONE = r"(?i)TMPDIR|scratch|no such file|removed|temporary folder"
_DESCRIPTORS = r"(?i)too many open files|descriptor|NOFILE|RLIMIT|files are open"
_NETWORK = r"(?i)loopback|127\.0\.0\.1|interface|\bports?\b"

KINDS = (
    Kind("rank SIGKILL", "within", "rank:SIGKILL", r"was killed by SIGKILL"),
    Kind("rank SIGSEGV", "within", "rank:SIGSEGV", r"was killed by SIGSEGV"),
    Kind("rank SIGTERM", "within", "rank:SIGTERM", r"was killed by SIGTERM"),
    Kind("rank SIGSTOP", "within", "rank:SIGSTOP", r"silent for"),
    Kind("idle rank SIGKILL", "before", "rank:SIGKILL", r"was killed by SIGKILL", survived=True),
    Kind("idle rank SIGTERM", "before", "rank:SIGTERM", r"was killed by SIGTERM", survived=True),
    Kind("server SIGKILL", "within", "server:SIGKILL", r"server of the ranks ended with SIGKILL"),
    Kind("server SIGTERM", "within", "server:SIGTERM", r"server of the ranks (was )?ended"),
    Kind("server SIGKILL between cases", "before", "server:SIGKILL"),
    Kind("server SIGTERM between cases", "before", "server:SIGTERM"),
    Kind("server stopped for a second", "within", "stop:server"),
    Kind("rank stopped for a second", "within", "stop:rank"),
    Kind("server SIGKILL after the last case", "saving", "server:SIGKILL", scope="session"),
    Kind("rank raises", "within", "act:raise", r"ValueError: soaked"),
    Kind("rank calls sys.exit", "within", "act:leave", r"ended with exit status 3"),
    Kind("rank calls _exit", "within", "act:exit", r"ended with exit status 4"),
    Kind("rank reads address 0", "within", "act:crash", r"was killed by SIGSEGV"),
    Kind("rank hangs", "within", "act:hang", r"silent for"),
    Kind("rank allocates too much", "within", "act:allocate", r"ran out of memory"),
    Kind("rank prints 7 MB", "within", "act:print"),
    Kind("rank closes its line", "within", "act:hang up", r"closed its line"),
    Kind("rank writes nonsense to its line", "within", "act:babble", r"(?i)line|protocol|message"),
    Kind("rank makes wrong tokens", "within", "act:alter", r"request \d+ began with tokens|different tokens"),
    Kind("scratch deleted", "before", "delete:gpt-dist-session-*", _GONE, survived=True),
    Kind("scratch deleted within", "within", "delete:gpt-dist-session-*", _GONE, survived=True),
    Kind("all folders of the session deleted", "before", "delete:gpt-dist-*", _GONE, survived=True),
    Kind("temporary folder away", "before", "vanish", _GONE, survived=True),
    Kind("temporary disk full", "before", "full:scratch", _ROOM, as_root=True),
    Kind("journal's disk full", "within", "full:.gpt-dist", _ROOM, survived=True, as_root=True),
    Kind("results' disk full", "saving", "full:.benchmarks", _ROOM, scope="resumed", as_root=True),
    Kind("results' disk read-only", "saving", "read-only:.benchmarks", _ROOM, scope="resumed", as_root=True),
    Kind("files of 2 kB at most", "before", "limit:FSIZE=2048", _ROOM, survived=True),
    Kind("12 open files", "before", "limit:NOFILE=12", _DESCRIPTORS, survived=True),
    Kind("40 open files", "start", "started:prlimit --nofile=40", _DESCRIPTORS, True, "session"),
    Kind("16 open files", "start", "started:prlimit --nofile=16", _DESCRIPTORS, True, "session"),
    Kind("session stopped beyond the timeout", "within", "pause"),
    Kind("session SIGINT", "within", "session:SIGINT", scope="resumed"),
    Kind("session SIGTERM", "within", "session:SIGTERM", scope="resumed"),
    Kind("session SIGKILL", "within", "session:SIGKILL", scope="resumed"),
    Kind("session SIGINT between cases", "before", "session:SIGINT", scope="resumed"),
    Kind("journal damaged", "before", "session:SIGKILL", scope="resumed", also="journal"),
    Kind("saved sessions damaged", "start", "started:", scope="session", also="store"),
    *(
        Kind(f"config.json {how}", "start", "started:", r"config\.json", scope="session", also=f"model:{how}")
        for how in DAMAGES
    ),
    Kind("one port alone", "start", "network:one port", _NETWORK, True, "session", True, "one case alone"),
    Kind("loopback down", "start", "network:down", _NETWORK, False, "session", True, "one case alone"),
    Kind("a neighbour in the same folder", "before", "neighbour", scope="session"),
)


def choose(seed: int, count: int, kinds: Sequence[Kind]) -> list[Fault]:
    """Return as many faults, each kind once before any comes again."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    while len(faults) < count:
        for kind in chance.sample(kinds, len(kinds)):
            # Something must be finished before that a session could be resumed with.
            cases = list(CASES)[2:] if kind.scope == "resumed" else list(CASES)
            place = (chance.choice(cases), chance.randrange(CALLS), chance.randrange(60))
            faults.append(Fault(len(faults) + 1, kind, *place))
    return faults[:count]


def in_sessions(faults: Sequence[Fault]) -> list[tuple[Fault, ...]]:
    """Return the faults by the session that hosts them: those that hit one case each share one."""
    sessions: list[tuple[Fault, ...]] = []
    waiting: list[Fault] = []
    for fault in faults:
        if fault.kind.scope != "case":
            sessions.append((fault,))
            continue
        if any(other.case == fault.case for other in waiting):
            sessions.append(tuple(waiting))
            waiting = []
        waiting.append(fault)
        if len(waiting) == SHARED:
            sessions.append(tuple(waiting))
            waiting = []
    return [*sessions, *([tuple(waiting)] if waiting else [])]
