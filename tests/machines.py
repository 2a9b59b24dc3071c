"""Agents of torchrun for tests: on this machine alone, or on several ones made of network namespaces."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

END_S = 20.0
MEMBER = "pytest_gpt_dist.cluster.torchrun"


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def write_secret(file: Path, secret: str | None = None) -> dict[str, str]:
    """Write a secret for the machines; the variable that names it."""
    file.write_text(secret or secrets.token_hex(32))
    file.chmod(0o600)
    return {"GPT_DIST_SECRET_FILE": str(file)}


@dataclass
class Agents:
    """torchrun on several machines: each is reached at an address, and what runs there begins with a prefix."""

    folder: Path
    environment: Mapping[str, str]
    addresses: Sequence[str]
    ranks: int = 2
    static: bool = False
    prefixes: Sequence[Sequence[str]] = ()
    members: tuple[str, ...] = ()
    meeting: int = field(default_factory=free_port)
    control: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def options(self) -> tuple[str, str]:
        """How pytest is told of them."""
        return "--gpt-launcher=torchrun", f"--gpt-rendezvous={self.addresses[0]}:{self.control}"

    def prefix(self, machine: int) -> list[str]:
        return list(self.prefixes[machine]) if self.prefixes else []

    def start(self, machine: int) -> subprocess.Popen[bytes]:
        """Start the agent of a machine."""
        own, first = self.addresses[machine], self.addresses[0]
        if self.static:
            meet = [f"--node-rank={machine}", f"--master-addr={first}", f"--master-port={self.meeting}"]
        else:
            meet = ["--rdzv-backend=c10d", f"--rdzv-endpoint={first}:{self.meeting}", "--rdzv-id=tests"]
            meet += [f"--rdzv-conf=is_host={int(machine == 0)}"]
        command = [*self.prefix(machine), sys.executable, "-m", "torch.distributed.run"]
        command += [f"--nnodes={len(self.addresses)}", f"--nproc-per-node={self.ranks}", "--max-restarts=5"]
        command += [
            f"--local-addr={own}",
            *meet,
            "-m",
            MEMBER,
            f"--control={first}:{self.control}",
            *self.members,
        ]
        with (self.folder / f"agent{machine}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def members_of(self, machine: int) -> list[psutil.Process]:
        """The processes that the agent of a machine has started, without the ranks that those forked."""
        agent = psutil.Process(self.processes[machine].pid)
        children = agent.children(recursive=True)
        found = [child for child in children if MEMBER in child.cmdline()]
        pids = {process.pid for process in found}
        return [process for process in found if process.ppid() not in pids]

    def __enter__(self) -> Self:
        for machine in range(len(self.addresses)):
            self.start(machine)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Namespaces:
    """Hosts of their own, as network namespaces that one more routes between; a context manager, for root."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.name = f"gptd{os.getpid()}"
        self.hub = f"{self.name}-hub"
        self.addresses = [f"10.213.{host}.2" for host in range(count)]

    @staticmethod
    def why_not() -> str | None:
        """Why there can be none here, None where there can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        try:
            with Namespaces(1):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            return f"network namespaces are not permitted here: {error}"

    def prefix(self, host: int) -> list[str]:
        """What a command begins with that runs on a host."""
        return ["ip", "netns", "exec", f"{self.name}-{host}"]

    def cut(self, host: int) -> list[str]:
        """The command that has all packets from and to a host lost on the way, in silence."""
        route = f"ip route add blackhole {self.addresses[host]}/32"
        return self._in_hub(f"{route} && echo 0 > /proc/sys/net/ipv4/conf/to{host}/forwarding")

    def mend(self, host: int) -> list[str]:
        """The command that ends a cut."""
        route = f"ip route del blackhole {self.addresses[host]}/32"
        return self._in_hub(f"{route} && echo 1 > /proc/sys/net/ipv4/conf/to{host}/forwarding")

    def _in_hub(self, command: str) -> list[str]:
        return ["ip", "netns", "exec", self.hub, "sh", "-c", command]

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.hub)
            subprocess.run(self._in_hub("echo 1 > /proc/sys/net/ipv4/ip_forward"), check=True)
            for host, address in enumerate(self.addresses):
                own = f"{self.name}-{host}"
                _ip("netns", "add", own)
                veth = ("type", "veth", "peer", "name", "eth0", "netns", own)
                _ip("-n", self.hub, "link", "add", f"to{host}", *veth)
                _ip("-n", self.hub, "addr", "add", f"10.213.{host}.1/30", "dev", f"to{host}")
                _ip("-n", self.hub, "link", "set", f"to{host}", "up")
                _ip("-n", own, "addr", "add", f"{address}/30", "dev", "eth0")
                _ip("-n", own, "link", "set", "eth0", "up")
                _ip("-n", own, "link", "set", "lo", "up")
                _ip("-n", own, "route", "add", "default", "via", f"10.213.{host}.1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.hub, *(f"{self.name}-{host}" for host in range(self.count))):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
